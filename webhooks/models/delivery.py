from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import AuditEvent, Company
from webhooks.models.webhook import Webhook

ENVELOPE_VERSION = 1
"""How bodies are rendered; kept with each delivery, so that its body never changes under way."""


class Status(models.TextChoices):
    PENDING = "PENDING", "pending"  # not yet attempted. Rescuer: the sweep
    SENDING = "SENDING", "sending"  # claimed. Rescuer: `rescue`, once the process's lease has run out
    SUCCESS = "SUCCESS", "success"  # end: retention
    FAILED = "FAILED", "failed"  # retried when due (rescuer: the sweep); without a due time, given up
    HELD = "HELD", "held"  # came up while the webhook was disabled. End: recovered, or retention
    CANCELLED = "CANCELLED", "cancelled"  # end: retention


FRESH = Q(status=Status.PENDING, replay=False)
"""Those that wait for their first attempt. All of them are due."""
BACKLOG = Q(next_attempt_at__isnull=False) & (Q(status=Status.FAILED) | Q(replay=True))
"""Retries and replays, due or not yet: they wait apart, so that no fresh delivery waits behind them."""


GIVEN_UP = Q(status=Status.FAILED, next_attempt_at=None)
"""Those whose last attempt has failed."""


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def due(self, *, now: datetime) -> "WebhookDeliveryQuerySet":
        return self.filter(next_attempt_at__lte=now)

    def of(self, company: Company) -> "WebhookDeliveryQuerySet":
        return self.filter(company=company)

    def waiting(self) -> "WebhookDeliveryQuerySet":
        """Those that will be attempted, or would be if their endpoint were enabled."""
        return self.filter(FRESH | BACKLOG | Q(status=Status.HELD))  # each has its index

    def at_rest(self) -> "WebhookDeliveryQuerySet":
        """Those that nothing moves on unless somebody asks for it: not due, not scheduled, not on the wire."""
        return self.filter(next_attempt_at=None).exclude(status=Status.SENDING)

    def ended(self, *, before: datetime) -> "WebhookDeliveryQuerySet":
        """Those at rest since before a moment; one that is held, which has no end, by its beginning."""
        held = Q(completed_at=None, created_at__lt=before)
        return self.at_rest().filter(held | Q(completed_at__lt=before))

    def in_status(self, status: str) -> "WebhookDeliveryQuerySet":
        """Those in a status of the API: one of `Status`, or RETRYING for failed ones that will be tried again."""
        if status == "RETRYING":
            return self.filter(status=Status.FAILED, next_attempt_at__isnull=False)
        return self.filter(status=status)

    def locked(self) -> "WebhookDeliveryQuerySet":
        """The same rows, locked in id order as everybody locks them, so that no two statements wait for each other.

        Only within a transaction.
        """
        ids = self.order_by("pk").select_for_update(of=("self",)).values("pk")
        return WebhookDelivery.objects.filter(pk__in=ids)

    def given_up(self) -> "WebhookDeliveryQuerySet":
        return self.filter(GIVEN_UP)

    def ended_by(self, moment: datetime) -> "WebhookDeliveryQuerySet":
        """Those that have not come to an end after a moment."""
        return self.exclude(completed_at__gt=moment)

    def oldest(self, most: int) -> list[UUID]:
        """The ids of at most so many, those that came up first."""
        return list(self.order_by("created_at").values_list("pk", flat=True)[:most])

    @transaction.atomic
    def redeliver(self, *, now: datetime) -> int:
        """Begin a new round of attempts for those that are at rest; says how many there were."""
        over = self.at_rest().exclude(status=Status.HELD).filter(webhook__deleted_at=None)
        return over.locked().update(
            status=Status.PENDING, replay=True, next_attempt_at=now, failures=0, lost_in_a_row=0, completed_at=None
        )

    @transaction.atomic
    def recover(self, *, now: datetime) -> int:
        """Let go of those that are held; says how many there were."""
        status = Case(When(attempt=0, then=Value(Status.PENDING)), default=Value(Status.FAILED))
        return self.filter(status=Status.HELD).locked().update(status=status, next_attempt_at=now)

    @transaction.atomic
    def cancel(self) -> int:
        """End those that wait; says how many there were. One on the wire goes on."""
        return self.waiting().locked().update(status=Status.CANCELLED, next_attempt_at=None, completed_at=Now())


class WebhookDelivery(models.Model):
    """One event on its way to one webhook. `attempt` counts what was claimed, `failures` what the schedule counts."""

    Status = Status

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Each foreign key is the beginning of an index below; one of its own would only slow down inserts.
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    event = models.ForeignKey(AuditEvent, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    envelope_version = models.PositiveSmallIntegerField(default=ENVELOPE_VERSION)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    next_attempt_at = models.DateTimeField(null=True)
    attempt = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    replay = models.BooleanField(
        default=False, db_default=False, help_text="Somebody asked for it again, after it had its chance."
    )
    lost_in_a_row = models.PositiveSmallIntegerField(default=0)
    claim_token = models.UUIDField(null=True)
    claimed_by = models.UUIDField(null=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "webhook"], name="delivery_once_per_event_and_webhook"),
            models.CheckConstraint(
                condition=Q(status="PENDING", next_attempt_at__isnull=False)
                | Q(status="FAILED")
                | Q(status__in=["SENDING", "SUCCESS", "HELD", "CANCELLED"], next_attempt_at=None),
                name="delivery_due_only_where_it_can_be",
            ),
            models.CheckConstraint(
                condition=Q(status="SENDING", claim_token__isnull=False, claimed_by__isnull=False)
                | ~Q(status="SENDING") & Q(claim_token=None, claimed_by=None),
                name="delivery_claimed_exactly_while_sending",
            ),
        ]
        indexes = [
            # The claim: which webhooks have something, and what of theirs comes first.
            models.Index(fields=["webhook", "next_attempt_at", "id"], name="delivery_fresh", condition=FRESH),
            models.Index(fields=["webhook", "next_attempt_at", "id"], name="delivery_backlog", condition=BACKLOG),
            # The sweep: what is due next.
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=BACKLOG),
            # How much an endpoint has on the wire; the rescue of orphans.
            models.Index(fields=["webhook"], name="delivery_sending", condition=Q(status="SENDING")),
            # Recovering what is held, and the rescue of what is held for nobody.
            models.Index(fields=["webhook", "created_at"], name="delivery_held", condition=Q(status="HELD")),
            # Recovering what was given up.
            models.Index(fields=["webhook", "created_at"], name="delivery_given_up", condition=GIVEN_UP),
            # The list of what failed.
            models.Index(fields=["webhook", "-id"], name="delivery_failed", condition=Q(status="FAILED")),
            # The export of a company.
            models.Index(fields=["company", "id"], name="delivery_company"),
            # A webhook's list, newest first.
            models.Index(fields=["webhook", "-id"], name="delivery_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} → {self.webhook_id}"

    def as_json(self) -> dict[str, Any]:
        """The delivery as the API shows it, without its attempts."""
        return {
            "id": str(self.id),
            "webhookId": str(self.webhook_id),
            "eventId": str(self.event_id),
            "status": self.status,
            "attempts": self.attempt,
            "replay": self.replay,
            "nextAttemptAt": self.next_attempt_at and timestamp(self.next_attempt_at),
            "error": self.error or None,
            "createdAt": timestamp(self.created_at),
            "completedAt": self.completed_at and timestamp(self.completed_at),
        }
