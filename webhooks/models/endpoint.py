from django.db import models

FIRST_SLOTS = 8
"""Requests that an endpoint of which nothing is known may have on the wire at once."""


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

    def __str__(self) -> str:
        return str(self.webhook_id)


class EndpointHour(models.Model):
    """How many attempts of one hour an endpoint accepted, and how many failed."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="hours", db_index=False)
    hour = models.DateTimeField(help_text="Its beginning.")
    delivered = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "hour"], name="endpoint_hour_once")]
        indexes = [models.Index(fields=["hour"], name="endpoint_hour_age")]  # retention

    def __str__(self) -> str:
        return f"{self.endpoint_id} {self.hour:%Y-%m-%d %H}:00"
