"""What tests of the life of an erasure share: requests in any state, and what was told of them."""

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model

from audit.models import AuditEvent, Company
from gdpr.erasures.deciding import approve
from gdpr.erasures.holds import place
from gdpr.erasures.requesting import PREVIEW, request_erasure
from gdpr.models import Erasure, LegalHold
from gdpr.subjects import Subject
from jobs.models import Job
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
    count(erasure)
    return erasure


def count(erasure: Erasure, *, at: datetime = NOON) -> None:
    """What the job does that counts what would be erased."""
    Job.objects.filter(type=PREVIEW, key=str(erasure.pk)).update(status="COMPLETED", completed_at=at)
    Erasure.objects.filter(pk=erasure.pk).update(preview=COUNTED, previewed_at=at)
    erasure.refresh_from_db()


def officer(number: int) -> int:
    """The number of an account that may approve."""
    users, name = get_user_model().objects, f"approving officer {number}"
    return int(users.get_or_create(username=name, defaults={"is_superuser": True})[0].pk)


def approved(company: Company, subject: Any = ADA) -> Erasure:
    """A request that two people approved."""
    erasure = previewed(company, subject)
    for number, name in enumerate(("op", "dpo"), start=1):
        approve(erasure, user_id=officer(number), approved_by=name, now=NOON)
    return erasure


def hold(company: Company, subject: Any = ADA, *, reason: str = "A court wants it.") -> LegalHold:
    kept = None if subject is None else person(subject)
    return place(company=company, subject=kept, reason=reason, placed_by="a lawyer", now=NOON)


def told(action: str) -> list[dict[str, Any]]:
    """What events of that action say, in the order of the chain."""
    return [event.payload or {} for event in AuditEvent.objects.filter(action=action).order_by("seq")]
