from django.apps import AppConfig


class GdprConfig(AppConfig):
    name = "gdpr"

    def ready(self) -> None:
        from audit.personal_data import cover
        from gdpr import models

        cover(models.PrivacyNotice)
        cover(models.ExportRequest)
        cover(models.ExportArchive)
        cover(models.DownloadLink, redact={"digest": "what proves a link; the link itself was never kept"})
        cover(models.DownloadAccess)
