"""Legal holds: what keeps an erasure from running (GDPR, Art. 17(3)).

Whoever erases asks with the head of the company's `system` chain locked, and whoever places a hold locks it, too: of a
hold and a batch of an erasure, one comes first.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.models import Company
from gdpr.erasures.reasons import reasoned
from gdpr.models import LegalHold
from gdpr.subjects import Subject
from gdpr.telling import tell


@transaction.atomic
def place(*, company: Company, subject: Subject | None, reason: str, placed_by: str, now: datetime) -> LegalHold:
    """Keep the data of a person, or without one those of everybody in the company.

    Raises gdpr.erasures.reasons.InvalidReason, audit.models.company.ChainBusy.
    """
    reason = reasoned(reason)
    company.system_workspace.chain_head.lock()
    hold = LegalHold.objects.create(
        company=company,
        subject=subject and subject.as_json(),
        reason=reason,
        placed_by=placed_by,
        placed_at=now,
    )
    # Neither the identifiers nor the reason, which may name the person: an event stays for ever.
    scope = "company" if subject is None else "subject"
    tell(company, "gdpr.hold.placed", now=now, holdId=hold.pk, scope=scope, placedBy=placed_by)
    return hold


@transaction.atomic
def lift(hold: LegalHold, *, lifted_by: str, now: datetime) -> bool:
    """Keep them no longer; says whether nobody had lifted it before. Raises audit.models.company.ChainBusy."""
    hold.company.system_workspace.chain_head.lock()
    if not hold.lift(by=lifted_by, now=now):
        return False
    tell(hold.company, "gdpr.hold.lifted", now=now, holdId=hold.pk, liftedBy=lifted_by)
    return True


def blocking(company: Company, subject: Subject) -> LegalHold | None:
    """The oldest hold that keeps the subject's data: one of the whole company, or of a person named alike."""
    return first_blocking(LegalHold.objects.active_in(company), subject)


def first_blocking(holds: Iterable[LegalHold], subject: Subject) -> LegalHold | None:
    """The first of these that keeps the subject's data."""
    for hold in holds:
        kept = hold.person()
        if kept is None or _names(kept, subject) or _names(subject, kept):
            return hold
    return None


def keeping_rows(company: Company, rows: Iterable[Mapping[str, Any]]) -> LegalHold | None:
    """The oldest hold of a person who is named in one of these rows, which say what stands in each column.

    Whoever is to be erased may be asked for by other identifiers than the hold: a row that has both is kept. Where
    there is no such hold, the rows are not read.
    """
    active = list(LegalHold.objects.active_in(company).exclude(subject=None))
    values = [value for row in rows for value in row.values()] if active else []
    for hold in active:
        kept = hold.person()
        if kept and any(map(kept.matches, values)):
            return hold
    return None


def _names(one: Subject, other: Subject) -> bool:
    """Whether a row with an identifier of the other one would be found for the one (gdpr.subjects).

    So ids are the same to the letter, and addresses in whatever way they are written. It goes across the kinds, too: to
    erase the id `user/ada@example.com` would replace what names the address that another person is kept by.
    """
    return one.matches([*other.actor_ids, *other.emails])
