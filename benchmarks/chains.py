"""Chains of many events, made quickly: true hashes, salts and commitments, copied into the table without `record`."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from audit import chain
from audit.ids import first_at
from audit.models import ChainHead, Workspace

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = 1_000
_COLUMNS = (
    "id", "company_id", "workspace_id", "seq", "category", "action", "occurred_at", "recorded_at", "actor", "payload",
    "actor_salt", "actor_commitment", "content_salt", "content_commitment", "prev_hash", "hash",
)  # fmt: skip


@transaction.atomic
def fill(workspace: Workspace, *, events: int) -> None:
    """Append so many events to the chain of a workspace; they tell of 1,000 people in turn."""
    head = ChainHead.objects.get(workspace=workspace)
    head.lock()
    with connection.cursor() as cursor, cursor.copy(f"COPY audit_auditevent ({', '.join(_COLUMNS)}) FROM STDIN") as to:
        for row in _rows(workspace, head, events):
            to.write_row(row)
    head.save(update_fields=["seq", "hash"])


def _rows(workspace: Workspace, head: ChainHead, events: int) -> Iterator[tuple[Any, ...]]:
    company_id, workspace_id = str(workspace.company_id), str(workspace.id)
    low = workspace.id.int & (2**62 - 1)  # a moment is of one event of a workspace
    salts = [(os.urandom(chain.SALT_BYTES), os.urandom(chain.SALT_BYTES)) for _ in range(1024)]
    actors = [
        f'{{"email":"u{person}@example.com","id":"u{person}","name":"Person {person}"}}' for person in range(PEOPLE)
    ]
    text = "x" * 60
    # The canonical forms are spelt by hand: `canonical` would take half of the time. The test of this maker holds them
    # against it.
    for n in range(events):
        seq, prev_hash = head.seq + 1, head.hash
        moment = BEGAN + timedelta(milliseconds=seq)
        told = chain.timestamp(moment)
        actor = actors[seq % PEOPLE]
        payload = f'{{"ip":"203.0.113.{seq % 256}","method":"passkey","session":"{seq:032x}","text":"{text}"}}'
        content = f'{{"changes":null,"context":null,"metadata":null,"payload":{payload},"target":null}}'
        actor_salt, content_salt = salts[n % 1024]
        actor_commitment = hashlib.sha256(actor_salt + actor.encode()).hexdigest()
        content_commitment = hashlib.sha256(content_salt + content.encode()).hexdigest()
        event_id = uuid.UUID(int=first_at(moment).int | low)
        envelope = (
            f'{{"action":"user.login","actor":"{actor_commitment}","category":"bench","companyId":"{company_id}",'
            f'"content":"{content_commitment}","id":"{event_id}","occurredAt":"{told}","prevHash":"{prev_hash}",'
            f'"recordedAt":"{told}","seq":{seq},"workspaceId":"{workspace_id}"}}'
        )
        digest = hashlib.sha256(envelope.encode()).hexdigest()
        yield (
            event_id, company_id, workspace_id, seq, "bench", "user.login", told, told, actor, payload,
            actor_salt.hex(), actor_commitment, content_salt.hex(), content_commitment, prev_hash, digest,
        )  # fmt: skip
        head.seq, head.hash = seq, digest
