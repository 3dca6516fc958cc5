from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    """The tables of the review service. Its `handlers.py` is found by HyreLog's `jobs` app."""

    name = "reviews"

    def ready(self) -> None:
        from audit.personal_data import cover
        from reviews import models

        cover(models.Connector)
        cover(models.Review)
