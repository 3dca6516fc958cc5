"""Erasures as their job leaves them, without the job: events erased by the person's identifiers, and the record."""

import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from audit import erasing
from audit.erasing import Replacement
from audit.models import AuditEvent, Company
from gdpr.erasures import naming
from gdpr.erasures.values import replace
from gdpr.models import ErasedRow, Erasure, ErasureApproval
from gdpr.subjects import Subject
from tests.conftest import NOON, Tenant

ADA = Subject(actor_ids=("u1",), emails=("ada@example.com",))
COLUMNS = [column for columns in erasing.COLUMNS.values() for column in columns]


def requested(company: Company, *, person: Subject = ADA, **fields: Any) -> Erasure:
    """An erasure that two people approved and that runs."""
    asked: dict[str, Any] = {
        "subject": person.as_json(),
        "key": f"subject:{uuid.uuid4()}",
        "reason": "she asked for it",
        "status": Erasure.Status.PROCESSING,
        "requested_by": "API key backend (hlk_abcdefgh…)",
        "created_at": NOON,
        "due_at": NOON,
        "started_at": NOON,
    }
    erasure = Erasure.objects.create(company=company, **(asked | fields))
    for user_id, name in enumerate(("olga", "piet"), 1):
        ErasureApproval.objects.create(company=company, erasure=erasure, user_id=user_id, approved_by=name, at=NOON)
    return erasure


@transaction.atomic
def erase_events(erasure: Erasure, *events: AuditEvent, now: datetime = NOON) -> AuditEvent:
    """Erase the person of an erasure from these events; returns the record."""
    replacements = []
    for event in AuditEvent.objects.filter(pk__in=[event.pk for event in events]).order_by("pk"):
        numbers = naming.in_event({column: getattr(event, column) for column in COLUMNS}, erasure.person())
        values = {c: replace(getattr(event, c), found, erasure.pseudonym) for c, found in numbers.items()}
        replacements.append(Replacement(event, values, numbers))
    counts = erasure.counts | {"audit_auditevent": erasure.counts.get("audit_auditevent", 0) + len(replacements)}
    Erasure.objects.filter(pk=erasure.pk).update(counts=counts)
    erasure.refresh_from_db()
    return erasing.erase(company=erasure.company, erasure_id=erasure.pk, replacements=replacements, now=now)


def note_row(erasure: Erasure, table: str, key: object, **replaced: list[int]) -> ErasedRow:
    return ErasedRow.objects.create(
        company=erasure.company, erasure=erasure, table=table, key=str(key), replaced=replaced
    )


def erased(tenant: Tenant, *events: AuditEvent, **fields: Any) -> Erasure:
    """An erasure that erased these events, one record each, and is about to be completed."""
    erasure = requested(tenant.company, **fields)
    for event in events:
        erase_events(erasure, event)
    return erasure
