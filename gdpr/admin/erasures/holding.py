"""Which erasures a legal hold keeps waiting, of many at once: each company's holds are read one time."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from gdpr.erasures.holds import first_blocking
from gdpr.models import Erasure, LegalHold
from gdpr.models.erasure import UNANSWERED


def mark_held(erasures: Sequence[Any]) -> None:
    """Give each its `hold`: the oldest that keeps it from running, or None. It takes one statement."""
    waiting = [erasure for erasure in erasures if erasure.status in UNANSWERED]
    kept = _holds_of({erasure.company_id for erasure in waiting})
    for erasure in erasures:
        erasure.hold = None
    for erasure in waiting:
        erasure.hold = first_blocking(kept[erasure.company_id], erasure.person())


def held_undecided(*, most: int) -> int:
    """How many that wait for a decision cannot be approved because of a hold; counted no further than `most`."""
    holds = LegalHold.objects.active().filter(company=OuterRef("company"))
    possibly: list[Any] = list(
        Erasure.objects.undecided().filter(Exists(holds)).only("company", "subject", "status")[:most]
    )
    mark_held(possibly)
    return sum(erasure.hold is not None for erasure in possibly)


def _holds_of(companies: set[UUID]) -> dict[UUID, list[LegalHold]]:
    """By company, the oldest first."""
    kept: dict[UUID, list[LegalHold]] = defaultdict(list)
    for hold in LegalHold.objects.active().filter(company__in=companies).order_by("placed_at", "id"):
        kept[hold.company_id].append(hold)
    return kept
