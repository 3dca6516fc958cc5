"""What the database is to know of an erasure that was completed before a backup was restored."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from audit.models import Company
from gdpr.erasures import certificate, telling
from gdpr.erasures.known import Known
from gdpr.erasures.ledger_lines import Header
from gdpr.models import ErasedRow, Erasure, ErasureApproval

UNKNOWN_REASON = "Not known any more: this request was made after the backup that was restored. See its ledger."
UNKNOWN_NAME = "unknown (from the ledger, which names nobody)"


def erasure_of(known: Known, company: Company) -> Erasure:
    """The erasure as the database has it; where it has none, a new one of what its ledger says, which is not saved."""
    if kept := Erasure.objects.of(company).filter(pk=known.erasure_id).first():
        return kept
    made = Erasure(pk=known.erasure_id, company=company, status=Erasure.Status.COMPLETED, reason=UNKNOWN_REASON)
    made.requested_by = UNKNOWN_NAME
    made.pseudonym = known.pseudonym or made.pseudonym
    if header := known.header:
        made.created_at, made.due_at = header.requested_at, header.due_at
        made.started_at, made.completed_at, made.counts = header.started_at, header.completed_at, dict(header.counts)
    return made


@transaction.atomic
def complete(erasure: Erasure, known: Known, rows: Iterable[tuple[str, Mapping[str, Any]]], *, now: datetime) -> bool:
    """Have the database know that it was completed, with a certificate made anew, and forget the person.

    The certificate of before names records that a restored chain no longer has. Says whether it was for us to do so.
    Raises audit.models.company.ChainBusy, ValueError for one without a ledger.
    """
    if known.header is None:
        raise ValueError(f"Of {erasure} there is no ledger: nothing says that it was completed.")
    erasure.company.system_workspace.chain_head.lock()
    if not _save(erasure, known.header):
        return False
    _approve(erasure, known.header)
    for table, listed in rows:
        _note(erasure, table, listed)
    erasure.certificate = certificate.certify(erasure, remaining=None, now=known.header.completed_at, repeated_at=now)
    erasure.save(update_fields=["certificate"])
    telling.told_completed(erasure, now=now)
    return True


def _save(erasure: Erasure, header: Header) -> bool:
    if erasure._state.adding:  # noqa: SLF001  Django's public way to ask whether a row is there
        erasure.save(force_insert=True)
        return True
    return erasure.complete_once_more(
        started_at=header.started_at, completed_at=header.completed_at, counts=dict(header.counts)
    )


def _approve(erasure: Erasure, header: Header) -> None:
    approvals = [
        ErasureApproval(
            company=erasure.company, erasure=erasure, user_id=one.user_id, approved_by=UNKNOWN_NAME, at=one.at
        )
        for one in header.approvals
    ]
    ErasureApproval.objects.bulk_create(approvals, ignore_conflicts=True)  # those that were there before stay


def _note(erasure: Erasure, table: str, listed: Mapping[str, Any]) -> None:
    noted = ErasedRow.objects.filter(erasure=erasure, table=table, key__in=listed)
    there = set(noted.values_list("key", flat=True))
    ErasedRow.objects.bulk_create(
        ErasedRow(company=erasure.company, erasure=erasure, table=table, key=key, replaced=replaced)
        for key, replaced in listed.items()
        if key not in there
    )
