"""Requesting an export: one active for each company and scope, a few a day."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from audit import recording
from audit.models import ApiKey
from gdpr.handlers import EXPORT
from jobs.enqueueing import enqueue
from jobs.models import Job

DAY = timedelta(days=1)


class TooManyExports(Exception):
    """A company asked for more exports within a day than GDPR_EXPORTS_PER_DAY allows."""

    def __init__(self, *, limit: int, retry_after: timedelta) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"This company has asked for {limit} exports within 24 hours, which is the limit.")


@transaction.atomic
def request_export(*, api_key: ApiKey, scope: str, now: datetime) -> tuple[Job, bool]:
    """The job that makes the export, and whether it is new: a running one of that scope comes back instead.

    Raises TooManyExports.
    """
    company = api_key.company
    # Whoever appends to the system chain holds its head: requests of one company thus come one after the other.
    company.system_workspace.chain_head.lock()
    exports = Job.objects.of(company).filter(type=EXPORT)
    if running := exports.active().filter(key=scope).first():
        return running, False
    # One that failed uses up nothing. One that its company cancelled does: request and cancel would go on for ever.
    counted = exports.exclude(status=Job.Status.FAILED)
    recent = counted.filter(created_at__gt=now - DAY).order_by("created_at")
    if len(recent) >= settings.GDPR_EXPORTS_PER_DAY:
        limit = settings.GDPR_EXPORTS_PER_DAY
        raise TooManyExports(limit=limit, retry_after=recent[len(recent) - limit].created_at + DAY - now)
    payload = {"scope": scope, "requestedBy": f"API key {api_key.name} ({api_key.prefix}…)"}
    job, new = enqueue(EXPORT, payload, company=company, key=scope, now=now)
    recorded: dict[str, object] = {"jobId": str(job.id), "scope": scope}
    recording.record_system(company=company, action="gdpr.export.requested", payload=recorded, now=now)
    return job, new
