import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from audit.chain import timestamp
from audit.models import Company
from jobs.models.process import WorkerProcess


class Outcome(models.TextChoices):
    RUNNING = "running", "running"  # rescuer: `rescue`, with its job
    COMPLETED = "completed", "completed"
    FAILED = "failed", "failed"
    TIMED_OUT = "timed_out", "timed out"
    LOST = "lost", "lost"  # its process died, or was cut off: nobody knows how far it came
    CANCELLED = "cancelled", "cancelled"
    HANDED_BACK = "handed_back", "handed back"  # at a shutdown; not counted
    SNOOZED = "snoozed", "snoozed"  # the handler has to wait; not counted, and only the latest is kept


FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT)
UNCOUNTED = (Outcome.HANDED_BACK, Outcome.SNOOZED)


class JobAttemptManager(models.Manager["JobAttempt"]):
    def end(self, token: uuid.UUID, *, outcome: Outcome, process: uuid.UUID, error: str, traceback: str) -> None:
        """Write down how an attempt ended, in the caller's transaction, also in the count of its process.

        One that was lost ends by the rescue, and with its process: no count is left to be kept.
        """
        attempt = self.get(pk=token)
        attempt.outcome, attempt.ended_at, attempt.error, attempt.traceback = outcome, Now(), error, traceback
        attempt.save(update_fields=["outcome", "ended_at", "error", "traceback"])
        if outcome == Outcome.SNOOZED:
            self.filter(job=attempt.job_id, outcome=outcome).exclude(pk=token).delete()
        if outcome not in UNCOUNTED:
            WorkerProcess.objects.filter(pk=process).update(
                processed=F("processed") + 1, failed=F("failed") + (1 if outcome in FAILURES else 0)
            )


class JobAttempt(models.Model):
    """One run of a job's handler: made by the claim, whose token is its id, ended by whoever settles or rescues."""

    Outcome = Outcome

    id = models.UUIDField(primary_key=True, editable=False)
    job = models.ForeignKey("jobs.Job", on_delete=models.CASCADE, related_name="history", db_index=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=11, choices=Outcome.choices, default=Outcome.RUNNING)
    worker = models.CharField(max_length=220)
    """Host and process id of who ran it."""
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    objects = JobAttemptManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome="running", ended_at=None) | ~Q(outcome="running") & Q(ended_at__isnull=False),
                name="job_attempt_ended_exactly_with_an_outcome",
            )
        ]
        indexes = [
            # The attempts of a job, in order.
            models.Index(fields=["job", "id"], name="job_attempt_job"),
            # The export of a company.
            models.Index(fields=["company", "id"], name="job_attempt_company"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of job {self.job_id}"

    def as_json(self) -> dict[str, object]:
        """The attempt as the API shows it: who ran it, and its traceback, are for operators."""
        return {
            "attempt": self.number,
            "outcome": self.outcome,
            "error": self.error or None,
            "startedAt": timestamp(self.started_at),
            "endedAt": self.ended_at and timestamp(self.ended_at),
        }
