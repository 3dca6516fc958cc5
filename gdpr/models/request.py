import calendar
from datetime import datetime

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

from audit.models import Company
from audit.text import storable
from gdpr.models.due import OwedQuerySet
from gdpr.subjects import Subject
from gdpr.telling import tell
from jobs.models import Job
from jobs.models.job import ACTIVE

MONTHS_TO_ANSWER = 1
"""From the receipt of a request (GDPR, Art. 12(3))."""
MONTHS_OF_EXTENSION = 2
"""By which that may be extended, where requests are complex or many (Art. 12(3), second sentence)."""
MOST_REASON = 1_000
"""Characters of the reason for an extension."""


class UnreasonedExtension(ValueError):
    """An extension is told to the person with its reasons (GDPR, Art. 12(3)); give them in 1 to 1,000 characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{self.__doc__} These are {len(reason):,}.")


class Scope(models.TextChoices):
    COMPANY = "company", "company"
    SUBJECT = "subject", "subject"


class ExportRequestQuerySet(OwedQuerySet["ExportRequest"]):
    def of(self, company: Company) -> "ExportRequestQuerySet":
        return self.filter(company=company)

    def unanswered(self) -> "ExportRequestQuerySet":
        """Those that still owe an archive; what its company cancelled does not.

        What failed does, until a later request of the same scope is answered; unless its own archive is on record.
        """
        job = {"company": OuterRef("company"), "type": OuterRef("job__type"), "key": OuterRef("job__key")}
        done = Q(status=Job.Status.COMPLETED) | Q(archive__isnull=False)
        later = Job.objects.filter(done, **job, id__gt=OuterRef("job_id"))
        failed = Q(job__status=Job.Status.FAILED)
        return self.filter(Q(job__status__in=ACTIVE) | failed & ~Exists(later), job__archive__isnull=True)

    def answered(self) -> "ExportRequestQuerySet":
        """Those whose archive is on record, whatever became of the job after that: its process may have died."""
        return self.filter(Q(job__status=Job.Status.COMPLETED) | Q(job__archive__isnull=False))

    def downloaded(self) -> "ExportRequestQuerySet":
        """Those of whose archive some link served every byte."""
        return self.filter(_downloaded())

    def waiting_for_download(self, *, now: datetime) -> "ExportRequestQuerySet":
        """Those whose archive is kept still, and was not downloaded."""
        return self.filter(~_downloaded(), job__archive__status="READY", job__archive__expires_at__gt=now)

    def never_downloaded(self, *, now: datetime) -> "ExportRequestQuerySet":
        """Those whose archive was over before anybody had downloaded it."""
        over = Q(job__archive__status="EXPIRED") | Q(job__archive__expires_at__lte=now)
        return self.filter(over, ~_downloaded())


class ExportRequest(models.Model):
    """What was asked for, by whom, and until when it has to be answered. It stays when its archive is gone."""

    Scope = Scope

    job = models.OneToOneField(Job, on_delete=models.PROTECT, primary_key=True, related_name="export_request")
    company = models.ForeignKey(Company, on_delete=models.PROTECT, related_name="export_requests", db_index=False)
    scope = models.CharField(max_length=7, choices=Scope.choices)
    subject = models.JSONField(null=True, blank=True, help_text="The identifiers of the person, as gdpr.subjects.")
    csv = models.BooleanField(default=False, help_text="Whether the events come as a table, too.")
    requested_by = models.CharField(max_length=250)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(help_text="By when the person must be answered (GDPR, Art. 12(3)).")
    extended_at = models.DateTimeField(null=True, blank=True, editable=False)
    extension_reason = models.TextField(blank=True, editable=False)

    objects = ExportRequestQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(scope=Scope.SUBJECT, subject__isnull=False) | Q(scope=Scope.COMPANY, subject__isnull=True),
                name="export_names_a_subject_exactly_in_that_scope",
            ),
            models.CheckConstraint(
                condition=Q(extended_at=None, extension_reason="")
                | Q(extended_at__isnull=False) & ~Q(extension_reason=""),
                name="export_extended_with_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["company", "job"], name="export_company"),  # lists and exports, in keyset order
            models.Index(fields=["due_at"], name="export_due"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.job_id}"

    def is_answered(self) -> bool:
        return ExportRequest.objects.answered().filter(pk=self.pk).exists()

    def extendable(self, *, now: datetime) -> bool:
        """Whether `extend` would do it now."""
        mine = ExportRequest.objects.unanswered().filter(pk=self.pk, extended_at=None, due_at__gte=now)
        return mine.exists()

    def person(self) -> Subject | None:
        """Whom it is about; None for the whole company."""
        return None if self.subject is None else Subject.read(self.subject)

    @transaction.atomic
    def extend(self, *, reason: str, now: datetime) -> bool:
        """Take two more months; once, for a reason, within the first month. Says whether it did.

        Raises UnreasonedExtension, audit.models.company.ChainBusy.
        """
        reason = storable(reason).strip()
        if not 0 < len(reason) <= MOST_REASON:
            raise UnreasonedExtension(reason)
        if not ExportRequest.objects.unanswered().filter(pk=self.pk).exists():
            return False
        # Of its own columns alone: what comes from other tables is not looked at anew once another's change is awaited.
        mine = ExportRequest.objects.filter(pk=self.pk, extended_at=None, due_at__gte=now)
        due_at = months_after(self.created_at, MONTHS_TO_ANSWER + MONTHS_OF_EXTENSION)
        if not mine.update(due_at=due_at, extended_at=now, extension_reason=reason):
            return False
        tell(self.company, "gdpr.export.extended", now=now, jobId=self.job_id, dueAt=due_at, reason=reason)
        self.refresh_from_db()
        return True


def _downloaded() -> Exists:
    return Exists(Job.objects.filter(pk=OuterRef("pk"), archive__links__used_at__isnull=False))


def months_after(moment: datetime, months: int) -> datetime:
    """The same day so many months later, or that month's last day (Regulation (EEC) 1182/71, Art. 3(2)(c))."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))
