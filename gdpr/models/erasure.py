import secrets
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from audit.ids import uuid7
from audit.models import Company, IdempotencyRecord
from gdpr.models.due import OwedQuerySet
from gdpr.subjects import Subject
from jobs.models import Job

APPROVALS = 2
"""Different people who have to approve an erasure before it runs."""
MOST_REASON = 1_000
"""Characters of the reason for a request, and of that for its rejection."""
ROUTES = "gdpr/"
"""What the routes of requests about people begin with, as audit.api.idempotency keeps them."""


class Status(models.TextChoices):
    REQUESTED = "REQUESTED", "requested"  # end: approved twice, or rejected
    APPROVED = "APPROVED", "approved"  # its job waits; a legal hold keeps it waiting
    PROCESSING = "PROCESSING", "processing"  # rescuer: the job's
    COMPLETED = "COMPLETED", "completed"  # its identifiers are gone, the certificate stays
    FAILED = "FAILED", "failed"  # the job's dead letter: goes on where it is retried
    REJECTED = "REJECTED", "rejected"


OPEN = (Status.REQUESTED, Status.APPROVED, Status.PROCESSING)
"""Of which there is one at the most for each company and subject."""
UNANSWERED = (*OPEN, Status.FAILED)
"""What still owes the person an answer."""


def new_pseudonym() -> str:
    """What stands in place of whatever names a person: random, so that nothing leads from it to them."""
    return f"erased-{secrets.token_hex(8)}"


class ErasureQuerySet(OwedQuerySet["Erasure"]):
    def of(self, company: Company) -> "ErasureQuerySet":
        return self.filter(company=company)

    def open(self) -> "ErasureQuerySet":
        return self.filter(status__in=OPEN)

    def undecided(self) -> "ErasureQuerySet":
        """Those that wait for people: to be approved, or rejected."""
        return self.filter(status=Status.REQUESTED)

    def unanswered(self) -> "ErasureQuerySet":
        return self.filter(status__in=UNANSWERED)

    def answered(self) -> "ErasureQuerySet":
        return self.exclude(status__in=UNANSWERED)


class Erasure(models.Model):
    """A request to erase a person (GDPR, Art. 17): who asked and why, who approved it, what came of it.

    `subject` and `key` are gone once it is completed: the record must not be the last place that names the person.
    """

    Status = Status

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="erasures", db_index=False)
    subject = models.JSONField(null=True, help_text="The identifiers of the person, as gdpr.subjects.")
    key = models.CharField(max_length=80, blank=True, help_text="A keyed fingerprint of the identifiers.")
    pseudonym = models.CharField(max_length=40, default=new_pseudonym, editable=False)
    reason = models.TextField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.REQUESTED)
    requested_by = models.CharField(max_length=250)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(help_text="By when the person must be answered (GDPR, Art. 12(3)).")
    rejected_by = models.CharField(max_length=250, blank=True)
    rejected_at = models.DateTimeField(null=True)
    rejection = models.TextField(blank=True, help_text="Why it was rejected.")
    preview = models.JSONField(null=True, help_text="Rows by table that would be erased, as they were counted.")
    previewed_at = models.DateTimeField(null=True)
    job = models.OneToOneField(Job, on_delete=models.PROTECT, null=True, related_name="erasure")
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict, help_text="Rows by table that were erased.")
    certificate = models.JSONField(null=True, help_text="The signed certificate, as docs/gdpr.md says.")

    objects = ErasureQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["company", "key"], condition=Q(status__in=OPEN), name="erasure_once_while_open"
            ),
            models.CheckConstraint(
                condition=Q(status="COMPLETED", subject=None, key="", completed_at__isnull=False)
                | ~Q(status="COMPLETED") & Q(subject__isnull=False, completed_at=None),
                name="erasure_forgets_the_person_when_completed",
            ),
            models.CheckConstraint(
                condition=Q(status="REJECTED", rejected_at__isnull=False) & ~Q(rejection="")
                | ~Q(status="REJECTED") & Q(rejected_at=None, rejection=""),
                name="erasure_rejected_with_a_reason",
            ),
        ]
        indexes = [models.Index(fields=["company", "id"], name="erasure_company")]  # lists and exports
        permissions = [("approve_erasure", "Can approve and reject erasure")]

    def __str__(self) -> str:
        return f"erasure {self.pk}"

    def person(self) -> Subject:
        """Whom it is about, by what still names them. Raises LookupError once they are forgotten.

        One that failed has the pseudonym of another erasure among its identifiers, once that has replaced them here.
        """
        if self.subject is None:
            raise LookupError(f"{self} is completed, and no longer knows whom it was about")
        return Subject.read(self.subject).without_pseudonyms()

    def approve(self, *, job: Job) -> bool:
        """Enough people have approved it, and this job is to run it; says whether it was still to be decided."""
        undecided = Erasure.objects.filter(pk=self.pk, status=Status.REQUESTED)
        approved = bool(undecided.update(status=Status.APPROVED, job=job))
        self.refresh_from_db()
        return approved

    def reject(self, *, by: str, reason: str, now: datetime) -> bool:
        """It is not to run; says whether it had neither begun nor been rejected."""
        waiting = Erasure.objects.filter(pk=self.pk, status__in=(Status.REQUESTED, Status.APPROVED))
        said = {"rejected_by": by, "rejected_at": now, "rejection": reason}
        rejected = bool(waiting.update(status=Status.REJECTED, **said))
        self.refresh_from_db()
        return rejected

    def begin(self, *, now: datetime) -> bool:
        """The job runs, for the first time or again; says whether it may."""
        may = Erasure.objects.filter(pk=self.pk, status__in=(Status.APPROVED, Status.PROCESSING, Status.FAILED))
        started = {"status": Status.PROCESSING, "started_at": Coalesce("started_at", now)}
        began = bool(may.update(**started, **self._words_without_the_person()))
        self.refresh_from_db()
        return began

    def _words_without_the_person(self) -> dict[str, str]:
        """What is to stand in place of its own words that name the person: all that tells of it later repeats them."""
        person = self.person()
        words = {"reason": self.reason, "requested_by": self.requested_by}
        return {name: self.pseudonym for name, text in words.items() if person.matches(text)}

    def complete(self, *, certificate: dict[str, Any], now: datetime) -> bool:
        """It is done, in the caller's transaction: forget the person; says whether it was running."""
        running = Erasure.objects.filter(pk=self.pk, status=Status.PROCESSING)
        forgotten = {"subject": None, "key": ""}
        ended = bool(running.update(status=Status.COMPLETED, completed_at=now, certificate=certificate, **forgotten))
        if ended:
            # The fingerprints of requests about people are of little but their identifiers, which could be tried out.
            IdempotencyRecord.objects.filter(company=self.company_id, route__startswith=ROUTES).delete()
        self.refresh_from_db()
        return ended

    def complete_once_more(
        self, *, started_at: datetime | None, completed_at: datetime, counts: dict[str, int]
    ) -> bool:
        """Forget the person as it did before a backup was restored; says whether nobody else is about to.

        For one that is approved, or has begun, that is its job.
        """
        forgotten = Erasure.objects.filter(pk=self.pk, status__in=(Status.REQUESTED, Status.REJECTED))
        done = {"status": Status.COMPLETED, "started_at": started_at, "completed_at": completed_at, "counts": counts}
        undecided = {"rejected_by": "", "rejected_at": None, "rejection": "", "subject": None, "key": ""}
        ended = bool(forgotten.update(**done, **undecided, **self._words_without_the_person()))
        self.refresh_from_db()
        return ended

    def fail(self) -> bool:
        """Its job has failed for good; says whether it was to run."""
        ending = Erasure.objects.filter(pk=self.pk, status__in=(Status.APPROVED, Status.PROCESSING))
        failed = bool(ending.update(status=Status.FAILED))
        self.refresh_from_db()
        return failed
