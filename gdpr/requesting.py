"""Requesting an export: one active for each company and scope, a few a day."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from audit import recording
from audit.models import Company
from gdpr.models import ExportRequest
from gdpr.models.request import MONTHS_TO_ANSWER, months_after
from gdpr.subjects import Subject
from jobs.enqueueing import enqueue
from jobs.models import Job

EXPORT = "gdpr.export"
DAY = timedelta(days=1)


class TooManyExports(Exception):
    """A company asked for more exports within a day than GDPR_EXPORTS_PER_DAY allows."""

    def __init__(self, *, limit: int, retry_after: timedelta) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"This company has asked for {limit} exports within 24 hours, which is the limit.")


@transaction.atomic
def request_export(  # noqa: PLR0913  all that a request says
    *,
    company: Company,
    scope: str,
    subject: Subject | None = None,
    csv: bool = False,
    requested_by: str,
    now: datetime,
) -> tuple[ExportRequest, bool]:
    """The request whose job makes the export, and whether it is new: an active one of that scope comes back instead.

    Raises TooManyExports, audit.models.company.ChainBusy.
    """
    # Whoever appends to the system chain holds its head: requests of one company thus come one after the other.
    company.system_workspace.chain_head.lock()
    requests = ExportRequest.objects.of(company).select_related("job")
    named = subject and subject.as_json()
    # For a JSON column, None would be the JSON value null.
    same = Q(scope=scope, subject=named) if named else Q(scope=scope, subject__isnull=True)
    if active := requests.active().filter(same).first():
        return active, False
    # One that failed uses up nothing. One that its company cancelled does: request and cancel would go on for ever.
    counted = requests.exclude(job__status=Job.Status.FAILED)
    recent = counted.filter(created_at__gt=now - DAY).order_by("created_at")
    if len(recent) >= settings.GDPR_EXPORTS_PER_DAY:
        limit = settings.GDPR_EXPORTS_PER_DAY
        raise TooManyExports(limit=limit, retry_after=recent[len(recent) - limit].created_at + DAY - now)
    job, _ = enqueue(EXPORT, {}, company=company, now=now)
    asked = ExportRequest.objects.create(
        job=job,
        company=company,
        scope=scope,
        subject=named,
        csv=csv,
        requested_by=requested_by,
        created_at=now,
        due_at=months_after(now, MONTHS_TO_ANSWER),
    )
    recorded: dict[str, object] = {"jobId": str(job.id), "scope": scope}
    recording.record_system(company=company, action="gdpr.export.requested", payload=recorded, now=now)
    return asked, True
