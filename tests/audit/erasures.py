"""Erasing parts of events in tests, playing at it, and what verification then says of a company's chains."""

import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from audit import chain, erasing, recording
from audit.drafts import SYSTEM_CATEGORY, Draft
from audit.erasing import ERASED, Replacement
from audit.models import AuditEvent, Company, Workspace
from audit.verification import verify
from gdpr.models import Erasure, ErasureApproval
from tests.conftest import NOON, set_append_only

FIRST, SECOND = uuid.UUID(int=1), uuid.UUID(int=2)
"""Two requests."""
NOWHERE = uuid.UUID(int=404)
SALT = "ab" * 32
ACTOR = {"id": "erased-1", "email": "erased-1"}
PAYLOAD = {"note": "erased-1"}
FORGED = {"actor": {"id": "mallory"}, "actor_salt": None, "actor_fresh_salt": SALT}
"""What a forger puts into an event, to name what they say is the record of its erasure."""


def approve(company: Company, request: uuid.UUID = FIRST) -> None:
    """Have two people approve a request, unless they did."""
    moments = {"created_at": NOON, "due_at": NOON, "started_at": NOON}
    asked = {"subject": {"actorId": ["u1"]}, "key": str(request), "reason": "asked", "requested_by": "a test"}
    fields = {"company": company, "status": "PROCESSING", **moments, **asked}
    erasure, made = Erasure.objects.get_or_create(pk=request, defaults=fields)
    for user_id in (1, 2) if made else ():
        ErasureApproval.objects.create(company=company, erasure=erasure, user_id=user_id, approved_by="op", at=NOON)


@transaction.atomic
def erase(company: Company, *events: AuditEvent, request: uuid.UUID = FIRST, **values: Any) -> AuditEvent:
    """Put these values into the events; returns the record."""
    approve(company, request)
    replaced = {column: [0] for column in values}
    fresh = AuditEvent.objects.filter(pk__in=[event.pk for event in events]).order_by("pk")
    replacements = [Replacement(event, values, replaced) for event in fresh]
    return erasing.erase(company=company, erasure_id=request, replacements=replacements, now=NOON)


@transaction.atomic
def pretend(workspace: Workspace, payload: Mapping[str, Any] | None, *, action: str = ERASED) -> AuditEvent:
    """Append to a chain what may look like a record, past `erase`."""
    approve(workspace.company)
    draft = Draft(category=SYSTEM_CATEGORY, action=action, payload=payload)
    return recording.record(workspace=workspace, drafts=[draft], now=NOON)[0]


def listing(event: AuditEvent, **more: Any) -> dict[str, Any]:
    """What a record of FORGED would say."""
    entry = {"id": str(event.pk), "actor": chain.commitment(SALT, FORGED["actor"]), "replaced": {}}
    return {"erasureId": str(FIRST), "events": [entry | more]}


def alter(event: AuditEvent, **fields: Any) -> None:
    """Change an event as only the table's owner can."""
    set_append_only("DISABLE")
    AuditEvent.objects.filter(pk=event.pk).update(**fields)
    set_append_only("ENABLE")


def marks(event: AuditEvent) -> dict[str, Any]:
    """What an erasure changes in an event, as it stands now: to put it back later."""
    names = [f"{part}_{mark}" for part in erasing.PARTS for mark in ("salt", "fresh_salt", "erased_by")]
    names += [column for columns in erasing.COLUMNS.values() for column in columns]
    return dict(AuditEvent.objects.filter(pk=event.pk).values(*names).get())


def faults(company: Company) -> list[str]:
    """Of all its chains."""
    return [str(fault) for workspace in company.workspaces.all() for fault in verify(workspace)]


def the_fault(company: Company, event: AuditEvent) -> str:
    """The only one of all its chains, which is this event's."""
    (fault,) = faults(company)
    assert fault.startswith(f"workspace {event.workspace_id}, event {event.pk} (seq {event.seq}): ")
    return fault


def both_faults(company: Company, of_record: AuditEvent, of_event: AuditEvent) -> tuple[str, str]:
    """The only ones, of which the second is of an event that names the first one's as the record of its erasure."""
    found = {fault.split(": ")[0]: fault for fault in faults(company)}
    where = [f"workspace {of.workspace_id}, event {of.pk} (seq {of.seq})" for of in (of_record, of_event)]
    assert sorted(found) == sorted(where)
    return found[where[0]], found[where[1]]


def told(*workspaces: Workspace) -> dict[tuple[uuid.UUID, str], int]:
    """How many parts of events are told as erased, by request; nothing else may be wrong with them."""
    counts: Counter[tuple[uuid.UUID, str]] = Counter()
    for workspace in workspaces:
        found = list(verify(workspace, erased=lambda request, part: counts.update([(uuid.UUID(request), part)])))
        assert found == []
    return dict(counts)
