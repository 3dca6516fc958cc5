from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        from audit import models
        from audit.personal_data import cover, exclude

        cover(models.Company, company_column="id")
        cover(models.Workspace)
        cover(models.ApiKey, redact={"digest": "what proves a key; the key itself was never kept"})
        cover(models.AuditEvent)
        exclude(models.ChainHead, reason="repeats the sequence number and hash of each chain's last event")
        exclude(models.IdempotencyRecord, reason="answers repeated for 24 hours; all they say is in the other tables")
