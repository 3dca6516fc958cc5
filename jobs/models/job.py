import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Coalesce, Now

from audit.chain import timestamp
from audit.ids import uuid7
from audit.models import Company
from audit.text import storable
from jobs import events
from jobs.models.attempt import JobAttempt, Outcome

NOBODY = uuid.UUID(int=2**128 - 1)
"""Stands for the company of jobs that have none, where a value is needed: behind all others."""
REFUSALS = 100
"""How often a change may meet a key which was taken a moment before, until it is thought to be something else."""


class Status(models.TextChoices):
    PENDING = "PENDING", "pending"  # rescuer: the poll rings the lane. End: claimed, or cancelled
    PROCESSING = "PROCESSING", "processing"  # rescuer: `rescue`, once the process's lease has run out
    COMPLETED = "COMPLETED", "completed"  # end: retention
    FAILED = "FAILED", "failed"  # the dead letter. End: retried by hand, or retention
    CANCELLED = "CANCELLED", "cancelled"  # end: retention


ACTIVE = (Status.PENDING, Status.PROCESSING)
ENDED = (Status.FAILED, Status.CANCELLED)
"""What can be retried."""

# Cancelling beats retrying, whenever it was asked for: the one statement that settles looks.
_UNLESS_CANCELLED = {
    "status": Case(When(cancel_requested_at=None, then=Value(Status.PENDING)), default=Value(Status.CANCELLED)),
    "completed_at": Case(When(cancel_requested_at__isnull=False, then=Now())),
}
_FAILED_UNLESS_CANCELLED = {
    "status": Case(When(cancel_requested_at=None, then=Value(Status.FAILED)), default=Value(Status.CANCELLED)),
    "completed_at": Now(),
}


class JobQuerySet(models.QuerySet["Job"]):
    def of(self, company: Company) -> "JobQuerySet":
        return self.filter(company=company)

    def active(self) -> "JobQuerySet":
        return self.filter(status__in=ACTIVE)

    def active_with(self, *, company: Any, job_type: Any, key: Any) -> "JobQuerySet":
        """The active job of a key, of which there is one at the most; by id of the company, or by None.

        Word for word as in the index of keys, which is found by nothing else.
        """
        owner, asked = (Coalesce(of, NOBODY, output_field=models.UUIDField()) for of in (F("company"), company))
        return self.active().alias(owner=owner).filter(owner=asked, type=job_type, key=key)

    def brief(self) -> "JobQuerySet":
        """Without what can be large: whoever wants it of a row reads it then."""
        return self.defer("payload", "secrets", "result", "traceback", "follow_up")

    def dead(self) -> "JobQuerySet":
        """The dead letters."""
        return self.filter(status=Status.FAILED)

    def locked(self) -> "JobQuerySet":
        """The same rows, locked in id order as everybody locks them, so that no two statements wait for each other.

        Only within a transaction.
        """
        return Job.objects.filter(pk__in=self.order_by("pk").select_for_update(of=("self",)).values("pk"))

    def retry(self, *, now: datetime, fresh: bool = True) -> int:
        """Make dead letters and cancelled jobs due again, in one transaction; says how many there were.

        `fresh` begins a new round of attempts; otherwise each gets one more. Of those that share a key only the newest
        begins again, and none where that key's job is active already. Where there may be many, see jobs.bulk.
        """
        ended = self.filter(status__in=ENDED)
        newest = ended.filter(key__isnull=False).order_by("company", "type", "key", "-id")
        newest = newest.distinct("company", "type", "key")
        same = {"company": OuterRef("company"), "job_type": OuterRef("type"), "key": OuterRef("key")}
        taken = Exists(Job.objects.active_with(**same))
        chosen = ended.filter(Q(key=None) | Q(pk__in=newest.values("pk")) & ~taken)
        attempts: dict[str, Any] = {"attempt": 0} if fresh else {"max_attempts": F("attempt") + 1}
        changes = {"status": Status.PENDING, "run_at": now, "completed_at": None, "cancel_requested_at": None}
        return chosen.change_each({**changes, **attempts}, event="retrying", when=Status.PENDING)

    def cancel(self, *, now: datetime) -> int:
        """Cancel waiting jobs at once and ask running ones to stop, in one transaction; says how many of both.

        One statement decides for each row which of both it is: what is claimed or handed back just now is not missed.
        """
        waits = Q(status=Status.PENDING)
        changes = {
            "status": Case(When(waits, then=Value(Status.CANCELLED)), default=F("status")),
            "completed_at": Case(When(waits, then=Value(now)), output_field=models.DateTimeField()),
            "cancel_requested_at": now,
        }
        unasked = self.filter(waits | Q(status=Status.PROCESSING, cancel_requested_at=None))
        return unasked.change_each(changes, event="cancelled", when=Status.CANCELLED)

    def change_each(self, changes: dict[str, Any], *, event: str, when: Status) -> int:
        """Change every row that is here; says how many there were.

        Of each that is then in the status `when` it is told.
        """
        refusals = 0
        while True:
            try:
                with transaction.atomic():
                    changed = list(self.locked().values_list("pk", flat=True))
                    Job.objects.filter(pk__in=changed).update(**changes)
                    jobs = Job.objects.brief().in_bulk(changed).values()
                    events.tell(event, [job for job in jobs if job.status == when])
            except IntegrityError:
                # A job with the key of one of these became active since we looked: the next look leaves it out.
                refusals += 1
                if refusals > REFUSALS:
                    raise
            else:
                return len(changed)


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
    secrets = models.TextField(db_default="", default="", editable=False)
    """What is hidden in the payload, encrypted (jobs.sealing)."""
    key = models.CharField(max_length=255, null=True, blank=True)
    priority = models.SmallIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    run_at = models.DateTimeField()
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField()
    lost = models.PositiveIntegerField(db_default=0)
    """Attempts that ended with their process, not by an outcome."""
    progress = models.FloatField(default=0)
    step = models.CharField(max_length=200, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    result = models.JSONField(null=True)
    follow_up = models.JSONField(null=True)
    """The job to enqueue on success, as jobs.enqueueing.Then says it."""
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
            models.CheckConstraint(
                condition=Q(status__in=ACTIVE, completed_at=None)
                | ~Q(status__in=ACTIVE) & Q(completed_at__isnull=False),
                name="job_completed_at_exactly_when_ended",
            ),
        ]
        indexes = [
            # The claim: of each type, company by company, highest priority first, then the longest due.
            models.Index(
                "type",
                Coalesce("company", NOBODY, output_field=models.UUIDField()),
                F("priority").desc(),
                "run_at",
                "id",
                name="job_turn",
                condition=Q(status="PENDING"),
            ),
            # The rescue of orphans, and how many of a type and a company run.
            models.Index(fields=["claimed_by"], name="job_claimed", condition=Q(status="PROCESSING")),
            # Whether anything is due, however much is scheduled for later.
            models.Index(fields=["run_at", "id"], name="job_scheduled", condition=Q(status="PENDING")),
            # The list of a company, newest first, and its export.
            models.Index(fields=["company", "id"], name="job_company"),
            # A company's jobs by state: counted, and listed newest first.
            models.Index(fields=["company", "status", "id"], name="job_company_status"),
            # A company's jobs of a type, newest first; and all that its statistics read.
            models.Index(fields=["company", "type", "id"], include=["status", "run_at"], name="job_company_type"),
            # What of a company's has ended since a moment, for its streams.
            models.Index(
                fields=["company", "completed_at"],
                name="job_company_ended",
                condition=Q(completed_at__isnull=False),
            ),
            # What has ended: dead letters by type and time, and the end of each by its age.
            models.Index(
                fields=["type", "status", "completed_at"], name="job_ended", condition=Q(completed_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    def as_json(self) -> dict[str, Any]:
        """The job as the API shows it."""
        return {**self.summary(), "result": self.result}

    def summary(self) -> dict[str, Any]:
        """The same without its result, which may be large."""
        return {
            "jobId": str(self.id),
            "type": self.type,
            "status": self.status,
            "progress": self.progress,
            "step": self.step or None,
            "attempts": self.attempt,
            "maxAttempts": self.max_attempts,
            "lost": self.lost,
            "priority": self.priority,
            "runAt": timestamp(self.run_at),
            "key": self.key,
            "error": self.error or None,
            "createdAt": timestamp(self.created_at),
            "startedAt": self.started_at and timestamp(self.started_at),
            "completedAt": self.completed_at and timestamp(self.completed_at),
        }

    # What follows is said by the process that holds the claim. Each compares the token and says whether it won.

    def advance(self, fraction: float, *, step: str, result: Any = None) -> bool:
        """Note how far the job is, from 0 to 1, and an interim result if there is one."""
        changes: dict[str, Any] = {"progress": _share(fraction), "step": step[:200]}
        if result is not None:
            changes["result"] = result
        if not self._mine().update(**changes):
            return False
        self.progress, self.step = changes["progress"], changes["step"]
        events.tell("progress", [self])
        return True

    def keep(self, result: Any, *, fraction: float) -> bool:
        """Note what was done so far, for an attempt that goes on from there."""
        return bool(self._mine().update(result=result, progress=_share(fraction)))

    def wanted(self) -> bool:
        """Whether nobody asked for its end, or took it away."""
        return self._mine().filter(cancel_requested_at=None).exists()

    def claimed(self) -> bool:
        """Whether nobody took it away."""
        return self._mine().exists()

    def complete(self, result: Any) -> bool:
        ended = {"status": Status.COMPLETED, "completed_at": Now(), "step": "", "error": "", "traceback": ""}
        return self._settle(Outcome.COMPLETED, event="completed", result=result, progress=1.0, **ended)

    def retry_later(
        self, *, error: str, traceback: str = "", pause: timedelta, outcome: Outcome = Outcome.FAILED
    ) -> bool:
        why = {"error": storable(error), "traceback": storable(traceback)}
        return self._settle(outcome, event="retrying", run_at=Now() + pause, **_UNLESS_CANCELLED, **why)

    def fail(self, *, error: str, traceback: str = "", outcome: Outcome = Outcome.FAILED) -> bool:
        why = {"error": storable(error), "traceback": storable(traceback)}
        return self._settle(outcome, event="failed", **_FAILED_UNLESS_CANCELLED, **why)

    def finish_cancelled(self) -> bool:
        return self._settle(Outcome.CANCELLED, event="cancelled", status=Status.CANCELLED, completed_at=Now())

    def hand_back(self) -> bool:
        """Give up the claim as if it had not been made: due at once, the attempt not counted."""
        uncounted = {"run_at": Now(), "attempt": F("attempt") - 1}
        return self._settle(Outcome.HANDED_BACK, event="retrying", **_UNLESS_CANCELLED, **uncounted)

    def snooze(self, pause: timedelta) -> bool:
        """Give the claim's place to others until `pause` is over; the attempt is not counted."""
        uncounted = {"run_at": Now() + pause, "attempt": F("attempt") - 1}
        return self._settle(Outcome.SNOOZED, event="retrying", **_UNLESS_CANCELLED, **uncounted)

    def _mine(self) -> JobQuerySet:
        return Job.objects.filter(pk=self.pk, status=Status.PROCESSING, claim_token=self.claim_token)

    @transaction.atomic
    def _settle(self, outcome: Outcome, *, event: str, **changes: Any) -> bool:
        """Give up the claim with these changes; the row, its attempt and what is told of it go together."""
        attempt, process = self.claim_token, self.claimed_by
        if attempt is None or process is None:
            return False
        if not self._mine().update(claim_token=None, claimed_by=None, **changes):
            return False
        self.refresh_from_db()
        why = {"error": changes.get("error", ""), "traceback": changes.get("traceback", "")}
        JobAttempt.objects.end(attempt, outcome=outcome, process=process, **why)
        events.tell("cancelled" if self.status == Status.CANCELLED else event, [self])
        return True


def _share(fraction: float) -> float:
    return max(0.0, min(fraction, 1.0))
