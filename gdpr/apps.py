from django.apps import AppConfig


class GdprConfig(AppConfig):
    name = "gdpr"

    def ready(self) -> None:
        from audit.approvals import on_asked_for_approved
        from gdpr import erasable, personal_data
        from gdpr.erasures.approved import approved

        on_asked_for_approved(approved)
        personal_data.declare()
        erasable.declare()
