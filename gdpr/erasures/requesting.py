"""Requesting an erasure: one open for each company and subject."""

from datetime import datetime

from django.db import transaction

from audit.models import Company
from gdpr.models import Erasure
from gdpr.models.request import MONTHS_TO_ANSWER, months_after
from gdpr.requesting import scope_key
from gdpr.subjects import Subject
from gdpr.telling import tell
from jobs.enqueueing import enqueue

PREVIEW = "gdpr.erasure.preview"
ERASE = "gdpr.erase"


@transaction.atomic
def request_erasure(
    *, company: Company, subject: Subject, reason: str, requested_by: str, now: datetime
) -> tuple[Erasure, bool]:
    """The request, and whether it is new: an open one of the same identifiers comes back instead.

    Raises audit.models.company.ChainBusy.
    """
    company.system_workspace.chain_head.lock()
    key = scope_key(subject)
    if opened := Erasure.objects.of(company).open().filter(key=key).first():
        return opened, False
    asked = Erasure.objects.create(
        company=company,
        subject=subject.as_json(),
        key=key,
        reason=reason,
        requested_by=requested_by,
        created_at=now,
        due_at=months_after(now, MONTHS_TO_ANSWER),
    )
    enqueue(PREVIEW, {"erasureId": str(asked.pk)}, company=company, key=str(asked.pk), now=now)
    tell(company, "gdpr.erasure.requested", now=now, erasureId=asked.pk, requestedBy=requested_by)
    return asked, True
