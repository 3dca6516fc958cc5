from typing import Any

from django.db import models

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company
from webhooks.models.delivery import WebhookDelivery
from webhooks.sending.outcome import Timing


class Result(models.TextChoices):
    SENDING = "sending", "sending"  # on record before the request leaves
    DELIVERED = "delivered", "delivered"
    FAILED = "failed", "failed"
    LOST = "lost", "lost: maybe delivered"  # the process died with the request on the wire


class WebhookAttempt(models.Model):
    """One request of a delivery: written before it leaves, completed with what came of it."""

    Result = Result

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    result = models.CharField(max_length=9, choices=Result.choices, default=Result.SENDING)
    url = models.CharField(max_length=2048)
    request_headers = models.JSONField(default=dict, db_default={}, help_text="As sent, with credentials masked.")
    body_sha256 = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Of the body as sent, in hexadecimal."
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    kind = models.CharField(max_length=12, blank=True, help_text="What came of it, such as timeout or tls.")
    http_status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    address = models.CharField(max_length=45, blank=True, help_text="The IP address connected to.")
    response_headers = models.JSONField(default=dict)
    response_body = models.TextField(blank=True, help_text="The first 16 KiB.")
    repeated = models.BooleanField(
        default=False, help_text="Sent a second time, since a kept connection closed without an answer."
    )
    timing = models.JSONField(default=dict, help_text="Milliseconds: dns, connect, tls, first byte, total.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="attempt_number_once_per_delivery")]
        indexes = [models.Index(fields=["company", "id"], name="attempt_company")]  # the export of a company

    def __str__(self) -> str:
        return f"{self.delivery_id} #{self.number}"

    def as_json(self) -> dict[str, Any]:
        """The attempt as the API shows it."""
        return {
            "number": self.number,
            "result": self.result,
            "url": self.url,
            "requestHeaders": self.request_headers,
            "bodySha256": self.body_sha256 or None,
            "startedAt": timestamp(self.started_at),
            "finishedAt": self.finished_at and timestamp(self.finished_at),
            "kind": self.kind or None,
            "status": self.http_status,
            "error": self.error or None,
            "address": self.address or None,
            "responseHeaders": self.response_headers,
            "responseBody": self.response_body,
            "timing": Timing(**self.timing).as_json(),
            "repeated": self.repeated,
        }
