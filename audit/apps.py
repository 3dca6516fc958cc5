from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import erasable, own_data

        own_data.declare()
        erasable.declare()
