from datetime import datetime, timedelta

from django.db import models

from audit.models.api_key import ApiKey
from audit.models.company import Company

KEPT_FOR = timedelta(hours=24)


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def expired(self, *, now: datetime) -> "IdempotencyRecordQuerySet":
        return self.filter(created_at__lt=now - KEPT_FOR)


class IdempotencyRecord(models.Model):
    """The answer to a request that carried an `Idempotency-Key`, kept for 24 hours."""

    company = models.ForeignKey(Company, on_delete=models.PROTECT)
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT)
    route = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="Hex HMAC-SHA-256 of the request's body.")
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField()

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["api_key", "route", "key"], name="idempotency_key_once_per_route"),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_created")]  # housekeeping

    def __str__(self) -> str:
        return f"{self.route} {self.key}"
