import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now
from django.db.models.lookups import IsNull

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company
from audit.text import storable

NOBODY = uuid.UUID(int=0)


class Status(models.TextChoices):
    PENDING = "PENDING", "pending"  # rescuer: the poll rings the lane. End: claimed, or cancelled
    PROCESSING = "PROCESSING", "processing"  # rescuer: `rescue`, once the process's lease has run out
    COMPLETED = "COMPLETED", "completed"  # end: retention
    FAILED = "FAILED", "failed"  # the dead letter. End: retried by hand, or retention
    CANCELLED = "CANCELLED", "cancelled"  # end: retention


ACTIVE = (Status.PENDING, Status.PROCESSING)


class JobQuerySet(models.QuerySet["Job"]):
    def due(self, *, now: datetime) -> "JobQuerySet":
        return self.filter(status=Status.PENDING, run_at__lte=now)

    def of(self, company: Company) -> "JobQuerySet":
        return self.filter(company=company)

    def active(self) -> "JobQuerySet":
        return self.filter(status__in=ACTIVE)

    def locked(self) -> "JobQuerySet":
        """The same rows, locked in id order as everybody locks them, so that no two statements wait for each other.

        Only within a transaction.
        """
        return Job.objects.filter(pk__in=self.order_by("pk").select_for_update(of=("self",)).values("pk"))

    @transaction.atomic
    def retry(self, *, now: datetime) -> int:
        """Give dead letters and cancelled jobs a fresh round of attempts; says how many there were.

        Of those that share a key only the newest begins again, and none where that key's job is active already.
        """
        ended = self.filter(status__in=[Status.FAILED, Status.CANCELLED])
        keyed = ended.filter(key__isnull=False).order_by("company", "type", "key", "-id")
        newest = keyed.distinct("company", "type", "key").values("pk")
        company = Q(company=OuterRef("company")) | Q(company=None) & Q(IsNull(OuterRef("company"), True))
        taken = Exists(Job.objects.active().filter(company, type=OuterRef("type"), key=OuterRef("key")))
        return (
            ended.filter(Q(key=None) | Q(pk__in=newest) & ~taken)
            .locked()
            .update(status=Status.PENDING, run_at=now, attempt=0, completed_at=None, cancel_requested_at=None)
        )

    @transaction.atomic
    def cancel(self, *, now: datetime) -> int:
        """Cancel waiting jobs at once and ask running ones to stop; says how many of both."""
        waiting = self.filter(status=Status.PENDING).locked().update(status=Status.CANCELLED, completed_at=now)
        return waiting + self.filter(status=Status.PROCESSING).locked().update(
            cancel_requested_at=Coalesce(F("cancel_requested_at"), now, output_field=models.DateTimeField())
        )


class Job(models.Model):
    """A unit of background work. The row says what is true; whoever runs it holds `claim_token`."""

    Status = Status

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(
        Company, on_delete=models.PROTECT, null=True, blank=True, related_name="jobs", db_index=False
    )
    type = models.CharField(max_length=100)
    queue = models.CharField(max_length=50)
    payload = models.JSONField(default=dict)
    key = models.CharField(max_length=255, null=True, blank=True)
    priority = models.SmallIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    run_at = models.DateTimeField()
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField()
    progress = models.FloatField(default=0)
    step = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    result = models.JSONField(null=True)
    claim_token = models.UUIDField(null=True)
    claimed_by = models.UUIDField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = [
            # Idempotent enqueueing: one waiting or running job of a type and key for each company (or for none).
            models.UniqueConstraint(
                Coalesce("company", NOBODY, output_field=models.UUIDField()),
                "type",
                "key",
                condition=Q(status__in=ACTIVE, key__isnull=False),
                name="job_key_once_while_active",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.PROCESSING, claim_token__isnull=False, claimed_by__isnull=False)
                | ~Q(status=Status.PROCESSING) & Q(claim_token=None, claimed_by=None),
                name="job_claimed_exactly_while_processing",
            ),
        ]
        indexes = [
            # The claim: by queue, highest priority first, then the longest due.
            models.Index("queue", F("priority").desc(), "run_at", "id", name="job_due", condition=Q(status="PENDING")),
            # The rescue of orphans.
            models.Index(fields=["claimed_by"], name="job_claimed", condition=Q(status="PROCESSING")),
            # Whether anything is due, however much is scheduled for later.
            models.Index(fields=["queue", "run_at"], name="job_scheduled", condition=Q(status="PENDING")),
            # The list of a company, newest first, and its export.
            models.Index(fields=["company", "id"], name="job_company"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    def as_json(self) -> dict[str, Any]:
        """The job as the API shows it."""
        return {
            "jobId": str(self.id),
            "type": self.type,
            "status": self.status,
            "progress": self.progress,
            "attempts": self.attempt,
            "maxAttempts": self.max_attempts,
            "priority": self.priority,
            "runAt": timestamp(self.run_at),
            "key": self.key,
            "error": self.error or None,
            "result": self.result,
            "createdAt": timestamp(self.created_at),
            "startedAt": self.started_at and timestamp(self.started_at),
            "completedAt": self.completed_at and timestamp(self.completed_at),
        }

    # What follows is said by the process that holds the claim. Each compares the token and says whether it won.

    def advance(self, fraction: float, *, step: str) -> bool:
        """Note how far the job is, from 0 to 1."""
        return self._settle(progress=max(0.0, min(fraction, 1.0)), step=step[:200], keep_claim=True)

    def keep(self, result: Any, *, fraction: float) -> bool:
        """Note what was done so far, for an attempt that goes on from there."""
        return self._settle(result=result, progress=max(0.0, min(fraction, 1.0)), keep_claim=True)

    def cancel_requested(self) -> bool:
        """Whether somebody asked for its end, or took it away."""
        return not Job.objects.filter(pk=self.pk, claim_token=self.claim_token, cancel_requested_at=None).exists()

    def complete(self, result: Any) -> bool:
        return self._settle(
            status=Status.COMPLETED, result=result, progress=1.0, error="", traceback="", completed_at=Now()
        )

    def retry_later(self, *, error: str, traceback: str, pause: timedelta) -> bool:
        return self._settle(
            status=Status.PENDING, error=storable(error), traceback=storable(traceback), run_at=Now() + pause
        )

    def fail(self, *, error: str, traceback: str = "") -> bool:
        return self._settle(
            status=Status.FAILED, error=storable(error), traceback=storable(traceback), completed_at=Now()
        )

    def finish_cancelled(self) -> bool:
        return self._settle(status=Status.CANCELLED, completed_at=Now())

    def hand_back(self, *, pause: timedelta = timedelta(0)) -> bool:
        """Give up the claim as if it had not been made: due after `pause`, the attempt not counted."""
        return self._settle(status=Status.PENDING, run_at=Now() + pause, attempt=F("attempt") - 1)

    def _settle(self, *, keep_claim: bool = False, **changes: Any) -> bool:
        if not keep_claim:
            changes |= {"claim_token": None, "claimed_by": None}
        mine = Job.objects.filter(pk=self.pk, status=Status.PROCESSING, claim_token=self.claim_token)
        return bool(mine.update(**changes))
