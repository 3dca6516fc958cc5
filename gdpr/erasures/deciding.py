"""Deciding on an erasure: two different people approve it, or one rejects it."""

from datetime import datetime

from django.db import transaction

from gdpr.erasures.requesting import ERASE
from gdpr.models import Erasure, ErasureApproval
from gdpr.models.erasure import APPROVALS
from gdpr.telling import tell
from jobs.enqueueing import enqueue


@transaction.atomic
def approve(erasure: Erasure, *, user_id: int, approved_by: str, now: datetime) -> Erasure:
    """Put an approval on record; with the second one the erasure's job is enqueued."""
    erasure.company.system_workspace.chain_head.lock()
    ErasureApproval.objects.create(
        company=erasure.company, erasure=erasure, user_id=user_id, approved_by=approved_by, at=now
    )
    tell(erasure.company, "gdpr.erasure.approved", now=now, erasureId=erasure.pk, approvedBy=approved_by)
    if erasure.approvals.count() >= APPROVALS:
        payload = {"erasureId": str(erasure.pk)}
        job, _ = enqueue(ERASE, payload, company=erasure.company, key=str(erasure.pk), now=now)
        Erasure.objects.filter(pk=erasure.pk).update(status=Erasure.Status.APPROVED, job=job)
    erasure.refresh_from_db()
    return erasure
