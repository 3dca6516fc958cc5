from django.apps import AppConfig


class ReviewsConfig(AppConfig):
    """The tables of the review service. Its `handlers.py` is found by HyreLog's `jobs` app."""

    name = "reviews"

    def ready(self) -> None:
        from reviews import personal_data

        personal_data.declare()
