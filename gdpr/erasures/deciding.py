"""Deciding on an erasure: two different people approve it, or one rejects it.

All with the head of the company's `system` chain locked: decisions come one after the other, holds among them.
"""

from datetime import UTC, datetime, timedelta

from django.contrib.auth import get_user_model
from django.db import transaction

from gdpr.erasures import holds
from gdpr.erasures.reasons import reasoned
from gdpr.erasures.requesting import ERASE, PREVIEW
from gdpr.models import Erasure, ErasureApproval, LegalHold
from gdpr.models.erasure import APPROVALS
from gdpr.telling import tell
from jobs.enqueueing import enqueue
from jobs.models import Job
from jobs.models.job import ACTIVE

APPROVE = "gdpr.approve_erasure"
"""The permission of those whose approvals count."""
MOST_AGE = timedelta(days=7)
"""Of a preview by which somebody approves: the person may have done much since."""


class NotDecidable(Exception):
    """Only one that is still to be decided can be approved, and only one that has not begun can be rejected."""

    def __init__(self, erasure: Erasure) -> None:
        super().__init__(f"This erasure is {erasure.status}. {self.__doc__}")


class NoPreview(Exception):
    """What this erasure would erase is not counted yet; look at the preview first, then approve."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class OutdatedPreview(NoPreview):
    """What this erasure would erase was counted more than 7 days ago; count it again, look at it, then approve."""


class BeingCounted(NoPreview):
    """What this erasure would erase is being counted again; wait for it, look at it, then approve."""


class VoidApproval(NotDecidable):
    """Reject this request and ask for the erasure anew: one of its approvals counts no more."""

    def __init__(self, approval: ErasureApproval) -> None:
        Exception.__init__(
            self,
            f"The approval of {approval.approved_by} counts no more: that account is gone, was deactivated or may no"
            " longer approve. Reject this request, and ask for the erasure anew; or have the account put right.",
        )


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

    Raises NotDecidable (VoidApproval), NoPreview (OutdatedPreview, BeingCounted), AlreadyApproved, Held,
    audit.models.company.ChainBusy.
    """
    company = erasure.company
    company.system_workspace.chain_head.lock()
    erasure.refresh_from_db()
    check(erasure, user_id=user_id, now=now)
    ErasureApproval.objects.create(company=company, erasure=erasure, user_id=user_id, approved_by=approved_by, at=now)
    tell(company, "gdpr.erasure.approved", now=now, erasureId=erasure.pk, approvedBy=approved_by)
    if erasure.approvals.count() >= APPROVALS:
        job, _ = enqueue(ERASE, {"erasureId": str(erasure.pk)}, company=company, key=str(erasure.pk), now=now)
        erasure.approve(job=job)
    return erasure


def check(erasure: Erasure, *, user_id: int, now: datetime) -> None:
    """Whether this account can approve the erasure now; raises what `approve` does but for ChainBusy."""
    if erasure.status != Erasure.Status.REQUESTED:
        raise NotDecidable(erasure)
    if erasure.approvals.filter(user_id=user_id).exists():
        raise AlreadyApproved
    _check_preview(erasure, now=now)
    for approval in erasure.approvals.order_by("at"):
        if not _may_approve(approval.user_id):
            raise VoidApproval(approval)
    if hold := holds.blocking(erasure.company, erasure.person()):
        raise Held(hold)


def _check_preview(erasure: Erasure, *, now: datetime) -> None:
    if erasure.preview is None or erasure.previewed_at is None:
        raise NoPreview
    if Job.objects.filter(company=erasure.company, type=PREVIEW, key=str(erasure.pk), status__in=ACTIVE).exists():
        raise BeingCounted
    if now - erasure.previewed_at > MOST_AGE:
        raise OutdatedPreview


def _may_approve(user_id: int) -> bool:
    account = get_user_model().objects.filter(pk=user_id).first()
    return account is not None and account.has_perm(APPROVE)  # nobody has any who is not active


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
