from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.functional import cached_property

from audit.chain import timestamp

FIRST_SLOTS = 8
"""Requests that an endpoint of which nothing is known may have on the wire at once."""
AILING = Q(failing_since__isnull=False) | Q(warned_at__isnull=False)
"""Those that fail, or whose owner was told so: the ones that health looks at."""


class Endpoint(models.Model):
    """What a webhook's endpoint has shown so far, and how much is sent to it at once.

    Beside the webhook, not in it: outcomes change this row many times a minute, and only people change the other. Each
    claim raises `claims` of the endpoints that it takes from, by which another that counted before it knows.
    """

    webhook = models.OneToOneField(
        "webhooks.Webhook", on_delete=models.PROTECT, primary_key=True, related_name="endpoint"
    )
    claims = models.PositiveBigIntegerField(default=0)
    slots = models.PositiveIntegerField(
        default=FIRST_SLOTS,
        help_text="Requests it may have at once: one more with each success, half as many at a sign of overload.",
    )
    slow = models.BooleanField(default=True, help_text="It took more than a second last time, or is not known yet.")
    rate_spent_until = models.DateTimeField(null=True, help_text="Up to when its rate limit is used up.")
    failures_in_a_row = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True, help_text="When its owner was told that it is failing.")

    class Meta:
        indexes = [models.Index(fields=["webhook"], name="endpoint_ailing", condition=AILING)]  # the sweep of health

    def __str__(self) -> str:
        return str(self.webhook_id)

    @cached_property
    def last_day(self) -> "list[EndpointHour]":
        """Its hours that began within the last 24; lists prefetch them (`WebhookQuerySet.with_health`)."""
        return list(self.hours.last_day())

    def evidence(self) -> dict[str, Any]:
        """What an owner is told of failures: how many in a row, since when, and what the last one was."""
        last = self.webhook.deliveries.filter(status="FAILED").order_by("-pk").first()
        attempt = last and last.attempts.order_by("-number").first()
        error = f"status {attempt.http_status}" if attempt and attempt.http_status else attempt and attempt.kind
        return {
            "consecutiveFailures": self.failures_in_a_row,
            "failingSince": self.failing_since,
            "lastError": error or "not known",
        }

    def as_json(self) -> dict[str, Any]:
        """Its health, as the API shows it with the webhook."""
        delivered, failed = sum(h.delivered for h in self.last_day), sum(h.failed for h in self.last_day)
        return {
            "consecutiveFailures": self.failures_in_a_row,
            "failingSince": self.failing_since and timestamp(self.failing_since),
            "lastSuccessAt": self.last_success_at and timestamp(self.last_success_at),
            "lastFailureAt": self.last_failure_at and timestamp(self.last_failure_at),
            "last24h": {
                "delivered": delivered,
                "failed": failed,
                "successRate": round(delivered / (delivered + failed), 4) if delivered + failed else None,
            },
        }


class EndpointHourQuerySet(models.QuerySet["EndpointHour"]):
    def last_day(self) -> "EndpointHourQuerySet":
        return self.filter(hour__gt=Now() - timedelta(hours=24))


class EndpointHour(models.Model):
    """How many attempts of one hour an endpoint accepted, and how many failed."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="hours", db_index=False)
    hour = models.DateTimeField(help_text="Its beginning.")
    delivered = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    objects = EndpointHourQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "hour"], name="endpoint_hour_once")]
        indexes = [models.Index(fields=["hour"], name="endpoint_hour_age")]  # retention

    def __str__(self) -> str:
        return f"{self.endpoint_id} {self.hour:%Y-%m-%d %H}:00"
