"""Requesting an export: one active for each company and scope, a few a day."""

import json
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac

from audit.models import Company
from gdpr.models import ExportRequest
from gdpr.models.request import MONTHS_TO_ANSWER, Scope, months_after
from gdpr.subjects import Subject
from gdpr.telling import tell
from jobs.enqueueing import enqueue
from jobs.models import Job

EXPORT = "gdpr.export"
DAY = timedelta(days=1)


class TooManyExports(Exception):
    """A company asked for more exports within a day than GDPR_EXPORTS_PER_DAY allows."""

    def __init__(self, *, limit: int, retry_after: timedelta, now: datetime) -> None:
        self.limit = limit
        self.retry_after = retry_after
        again = (now + retry_after).astimezone(UTC)
        super().__init__(
            f"This company has asked for {limit} exports within 24 hours, which is the limit; it can ask again from"
            f" {again:%Y-%m-%d %H:%M:%S} UTC on."
        )


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

    Of a subject, that is one with the same identifiers. Raises TooManyExports, audit.models.company.ChainBusy.
    """
    # Whoever appends to the system chain holds its head: requests of one company thus come one after the other.
    company.system_workspace.chain_head.lock()
    requests = ExportRequest.objects.of(company).select_related("job")
    key = scope_key(subject)
    if active := requests.filter(job__in=Job.objects.active_with(company=company.pk, job_type=EXPORT, key=key)).first():
        return active, False
    # One that failed uses up nothing, unless its archive is on record all the same. One that its company cancelled
    # does: request and cancel would go on for ever.
    counted = requests.filter(~Q(job__status=Job.Status.FAILED) | Q(job__archive__isnull=False))
    recent = counted.filter(created_at__gt=now - DAY).order_by("created_at")
    if len(recent) >= settings.GDPR_EXPORTS_PER_DAY:
        limit = settings.GDPR_EXPORTS_PER_DAY
        raise TooManyExports(limit=limit, retry_after=recent[len(recent) - limit].created_at + DAY - now, now=now)
    job, new = enqueue(EXPORT, {}, company=company, key=key, now=now)
    if not new:  # an operator has it tried again since we looked
        return requests.get(pk=job.pk), False
    asked = ExportRequest.objects.create(
        job=job,
        company=company,
        scope=scope,
        subject=subject and subject.as_json(),
        csv=csv,
        requested_by=requested_by,
        created_at=now,
        due_at=months_after(now, MONTHS_TO_ANSWER),
    )
    tell(company, "gdpr.export.requested", now=now, jobId=job.id, scope=scope, requestedBy=requested_by)
    return asked, True


def scope_key(subject: Subject | None) -> str:
    """The key of an export's job: no two active ones of a company have the same scope.

    A key is shown and kept wherever jobs are: nobody without SECRET_KEY can try out whose identifiers are behind it.
    """
    if subject is None:
        return Scope.COMPANY
    emails = sorted({email.lower() for email in subject.emails})
    identifiers = json.dumps([sorted(set(subject.actor_ids)), emails])
    return f"{Scope.SUBJECT}:{salted_hmac(EXPORT, identifiers, algorithm='sha256').hexdigest()}"
