"""Requesting an erasure: one at a time for each company and subject, and its preview."""

from datetime import datetime, timedelta

from django.db import transaction

from audit.models import Company
from gdpr.erasures.reasons import reasoned
from gdpr.models import Erasure
from gdpr.models.request import MONTHS_TO_ANSWER, months_after
from gdpr.requesting import scope_key
from gdpr.subjects import InvalidSubject, Subject
from gdpr.telling import tell
from jobs.enqueueing import enqueue

PREVIEW = "gdpr.erasure.preview"
ERASE = "gdpr.erase"
MOST_OPEN = 100
"""Open requests of one company: the preview of each looks through all that the company has, and people decide on it."""
LOOK_AGAIN = timedelta(hours=1)
"""After which a company that has so many may look whether some have ended."""


class TooManyErasures(Exception):
    """This company has 100 open requests for erasures, which is the limit; ask again once some have ended."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@transaction.atomic
def request_erasure(
    *, company: Company, subject: Subject, reason: str, requested_by: str, now: datetime
) -> tuple[Erasure, bool]:
    """The request, and whether it is new: one of the same identifiers that is open comes back instead.

    So does one that has failed: whoever operates HyreLog has it go on, and that owes the person the same answer. Raises
    gdpr.subjects.InvalidSubject for a pseudonym, gdpr.erasures.reasons.InvalidReason, TooManyErasures,
    audit.models.company.ChainBusy.
    """
    _refuse_pseudonyms(subject)
    reason = reasoned(reason)
    # Whoever appends to the system chain holds its head: requests of one company thus come one after the other.
    company.system_workspace.chain_head.lock()
    key, requests = scope_key(subject), Erasure.objects.of(company)
    if unanswered := requests.unanswered().filter(key=key).first():
        return unanswered, False
    if requests.open().count() >= MOST_OPEN:
        raise TooManyErasures
    asked = requests.create(
        company=company,
        subject=subject.as_json(),
        key=key,
        reason=reason,
        requested_by=requested_by,
        created_at=now,
        due_at=months_after(now, MONTHS_TO_ANSWER),
    )
    again(asked, now=now)
    tell(company, "gdpr.erasure.requested", now=now, erasureId=asked.pk, requestedBy=requested_by)
    return asked, True


def again(erasure: Erasure, *, now: datetime) -> bool:
    """Have what would be erased counted, for the first time or anew, while nobody has decided yet.

    Says whether a count was enqueued: one that waits or runs already is enough. The one before stands until then.
    """
    if not Erasure.objects.filter(pk=erasure.pk, status=Erasure.Status.REQUESTED).exists():
        return False
    _, new = enqueue(PREVIEW, {"erasureId": str(erasure.pk)}, company=erasure.company, key=str(erasure.pk), now=now)
    return new


def _refuse_pseudonyms(subject: Subject) -> None:
    """To erase one would put another in its place, and the certificate of the first would be true no more."""
    for pseudonym in subject.pseudonyms():
        rule = "stands in place of somebody who has been erased; leave it out, and name the person by other identifiers"
        raise InvalidSubject("subject.actorId", f"has {pseudonym}, which {rule}")
