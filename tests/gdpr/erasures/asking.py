"""What tests of the life of an erasure share: requests in any state, and what was told of them."""

from datetime import datetime
from typing import Any

from audit.models import AuditEvent, Company
from gdpr.erasures.deciding import approve
from gdpr.erasures.holds import place
from gdpr.erasures.requesting import request_erasure
from gdpr.models import Erasure, LegalHold
from gdpr.subjects import Subject
from tests.conftest import NOON

ADA: dict[str, Any] = {"actorId": "u-4711", "email": "ada@example.com"}
BOB: dict[str, Any] = {"actorId": "u-1234"}
WHY = "She asked for it in ticket 99."
COUNTED = {"rows": {"audit_auditevent": 3}, "remaining": {"audit_auditevent": 1}}


def person(sent: Any = ADA) -> Subject:
    return Subject.read(sent)


def ask(company: Company, subject: Any = ADA, *, now: datetime = NOON) -> Erasure:
    """A request as it comes in."""
    known = {"reason": WHY, "requested_by": "a test"}
    return request_erasure(company=company, subject=person(subject), now=now, **known)[0]


def previewed(company: Company, subject: Any = ADA) -> Erasure:
    """A request whose preview was counted."""
    erasure = ask(company, subject)
    Erasure.objects.filter(pk=erasure.pk).update(preview=COUNTED, previewed_at=NOON)
    erasure.refresh_from_db()
    return erasure


def approved(company: Company, subject: Any = ADA) -> Erasure:
    """A request that two people approved."""
    erasure = previewed(company, subject)
    for number, name in enumerate(("op", "dpo"), start=1):
        approve(erasure, user_id=number, approved_by=name, now=NOON)
    return erasure


def hold(company: Company, subject: Any = ADA, *, reason: str = "A court wants it.") -> LegalHold:
    kept = None if subject is None else person(subject)
    return place(company=company, subject=kept, reason=reason, placed_by="a lawyer", now=NOON)


def told(action: str) -> list[dict[str, Any]]:
    """What events of that action say, in the order of the chain."""
    return [event.payload or {} for event in AuditEvent.objects.filter(action=action).order_by("seq")]
