"""Deciding on an erasure: two different people approve it, or one rejects it.

All with the head of the company's `system` chain locked: decisions come one after the other, holds among them.
"""

from datetime import UTC, datetime

from django.db import transaction

from gdpr.erasures import holds
from gdpr.erasures.reasons import reasoned
from gdpr.erasures.requesting import ERASE
from gdpr.models import Erasure, ErasureApproval, LegalHold
from gdpr.models.erasure import APPROVALS
from gdpr.telling import tell
from jobs.enqueueing import enqueue
from jobs.models import Job


class NotDecidable(Exception):
    """Only one that is still to be decided can be approved, and only one that has not begun can be rejected."""

    def __init__(self, erasure: Erasure) -> None:
        super().__init__(f"This erasure is {erasure.status}. {self.__doc__}")


class NoPreview(Exception):
    """What this erasure would erase is not counted yet; look at the preview first, then approve."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class AlreadyApproved(Exception):
    """You have approved this erasure already; somebody else has to, with an account of their own."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Held(Exception):
    """A legal hold keeps this person's data (GDPR, Art. 17(3)): lift it first, or reject the request.

    `hold` is that one. Its reason may name somebody, so it is no part of the message.
    """

    def __init__(self, hold: LegalHold) -> None:
        self.hold = hold
        since = f"{hold.placed_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        super().__init__(
            f"The legal hold {hold.pk}, placed by {hold.placed_by} on {since}, keeps this person's data"
            " (GDPR, Art. 17(3)). Lift it first, or reject the request."
        )


@transaction.atomic
def approve(erasure: Erasure, *, user_id: int, approved_by: str, now: datetime) -> Erasure:
    """Put an approval on record; with the second one the erasure's job is enqueued.

    Raises NotDecidable, NoPreview, AlreadyApproved, Held, audit.models.company.ChainBusy.
    """
    company = erasure.company
    company.system_workspace.chain_head.lock()
    erasure.refresh_from_db()
    check(erasure, user_id=user_id)
    ErasureApproval.objects.create(company=company, erasure=erasure, user_id=user_id, approved_by=approved_by, at=now)
    tell(company, "gdpr.erasure.approved", now=now, erasureId=erasure.pk, approvedBy=approved_by)
    if erasure.approvals.count() >= APPROVALS:
        job, _ = enqueue(ERASE, {"erasureId": str(erasure.pk)}, company=company, key=str(erasure.pk), now=now)
        erasure.approve(job=job)
    return erasure


def check(erasure: Erasure, *, user_id: int) -> None:
    """Whether this account can approve the erasure now; raises NotDecidable, NoPreview, AlreadyApproved or Held."""
    if erasure.status != Erasure.Status.REQUESTED:
        raise NotDecidable(erasure)
    if erasure.preview is None:
        raise NoPreview
    if erasure.approvals.filter(user_id=user_id).exists():
        raise AlreadyApproved
    if hold := holds.blocking(erasure.company, erasure.person()):
        raise Held(hold)


def reject(erasure: Erasure, *, rejected_by: str, reason: str, now: datetime) -> Erasure:
    """Put a rejection on record, as long as the erasure has not begun; its job is cancelled.

    In a transaction of its own, or as a part of the caller's. Raises NotDecidable, gdpr.erasures.reasons.InvalidReason,
    audit.models.company.ChainBusy.
    """
    reason = reasoned(reason)
    while not _rejected(erasure, rejected_by=rejected_by, reason=reason, now=now):
        pass  # it was given its job since we looked, which happens once
    return erasure


def _rejected(erasure: Erasure, *, rejected_by: str, reason: str, now: datetime) -> bool:
    with transaction.atomic():
        erasure.refresh_from_db()
        seen = erasure.job_id
        # Before the head: whoever holds a job's row may wait for the head, and never the other way round.
        Job.objects.filter(erasure=erasure).cancel(now=now)
        erasure.company.system_workspace.chain_head.lock()
        if not erasure.reject(by=rejected_by, reason=reason, now=now):
            raise NotDecidable(erasure)
        if erasure.job_id != seen:
            transaction.set_rollback(True)
            return False
        # Without the reason, which may name the person: an event stays for ever.
        tell(erasure.company, "gdpr.erasure.rejected", now=now, erasureId=erasure.pk, rejectedBy=rejected_by)
    return True
