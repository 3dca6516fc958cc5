"""Recording: events enter their workspace's chain, and higher rooms hear of them inside the same transaction."""

import os
from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import transaction

from audit import chain
from audit.drafts import SYSTEM_CATEGORY, Draft
from audit.ids import uuid7
from audit.models import AuditEvent, ChainHead, Company, Workspace
from audit.notices import notice

Recorded = Callable[[Sequence[AuditEvent]], None]

_recorded: list[Recorded] = []


def on_recorded(listener: Recorded) -> Recorded:
    """Have `listener(events)` called inside the transaction that records them; if it raises, nothing was recorded."""
    _recorded.append(listener)
    return listener


def record(*, workspace: Workspace, drafts: Sequence[Draft], now: datetime) -> list[AuditEvent]:
    """Append `drafts`, in order, to the chain of `workspace`.

    The transaction is the caller's, and ends the wait of whoever else appends to this chain. Drafts from outside must
    have passed `Draft.check`. Raises audit.models.company.ChainBusy.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "record() needs the caller's transaction: the chain's head is locked."
        )
    if not drafts:
        return []
    head = ChainHead(workspace=workspace)
    head.lock()
    # Sorted, ids of one batch follow the chain's order although a millisecond yields many of them.
    ids = sorted(uuid7() for _ in drafts)
    events = []
    for event_id, draft in zip(ids, drafts, strict=True):
        event = _seal(draft, workspace=workspace, head=head, now=now)
        event.id = event_id
        event.hash = event.compute_hash()
        head.seq, head.hash = event.seq, event.hash
        events.append(event)
    AuditEvent.objects.bulk_create(events)
    head.save(update_fields=["seq", "hash"])
    for listener in _recorded:
        listener(events)
    notice("events.recorded", workspace=workspace.id, company=workspace.company_id, count=len(events), seq=head.seq)
    return events


def record_system(*, company: Company, action: str, payload: dict[str, object], now: datetime) -> AuditEvent:
    """Record what HyreLog itself did for a company, in that company's `system` workspace."""
    draft = Draft(category=SYSTEM_CATEGORY, action=action, actor={"id": "hyrelog", "name": "HyreLog"}, payload=payload)
    return record(workspace=company.system_workspace, drafts=[draft], now=now)[0]


def _seal(draft: Draft, *, workspace: Workspace, head: ChainHead, now: datetime) -> AuditEvent:
    event = AuditEvent(
        company_id=workspace.company_id,
        workspace=workspace,
        seq=head.seq + 1,
        prev_hash=head.hash,
        category=draft.category,
        action=draft.action,
        occurred_at=draft.occurred_at or now,
        recorded_at=now,
        actor=draft.actor,
        target=draft.target,
        payload=draft.payload,
        metadata=draft.metadata,
        changes=draft.changes,
        context=draft.context,
        actor_salt=os.urandom(chain.SALT_BYTES).hex(),
        content_salt=os.urandom(chain.SALT_BYTES).hex(),
    )
    event.actor_commitment = chain.commitment(event.actor_salt or "", event.actor)
    event.content_commitment = chain.commitment(event.content_salt or "", event.content)
    return event
