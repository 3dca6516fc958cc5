from django.apps import AppConfig


class GdprConfig(AppConfig):
    name = "gdpr"

    def ready(self) -> None:
        from gdpr import erasable, personal_data

        personal_data.declare()
        erasable.declare()
