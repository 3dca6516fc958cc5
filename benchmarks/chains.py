"""Chains of many events, made quickly: true hashes, salts and commitments, copied into the table without `record`."""

import hashlib
import json
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
    randomness = os.urandom(2 * chain.SALT_BYTES * 1024)
    for n in range(events):
        seq = head.seq + 1
        person = seq % PEOPLE
        moment = BEGAN + timedelta(milliseconds=seq)
        actor = {"id": f"u{person}", "email": f"u{person}@example.com", "name": f"Person {person}"}
        payload = {"ip": f"203.0.113.{seq % 256}", "method": "passkey", "session": f"{seq:032x}", "text": "x" * 60}
        at = (n % 1024) * 2 * chain.SALT_BYTES
        salts = randomness[at : at + chain.SALT_BYTES], randomness[at + chain.SALT_BYTES : at + 2 * chain.SALT_BYTES]
        # Python's own JSON with sorted names is the canonical form where there is neither a fraction nor a name beyond
        # ASCII; the test of this maker holds it against the real one.
        content = {"changes": None, "context": None, "metadata": None, "payload": payload, "target": None}
        actor_commitment, content_commitment = (
            hashlib.sha256(salt + _dumps(value)).hexdigest()
            for salt, value in zip(salts, (actor, content), strict=True)
        )
        event_id = str(uuid.UUID(int=first_at(moment).int | low))
        envelope = {
            "id": event_id,
            "companyId": company_id,
            "workspaceId": workspace_id,
            "seq": seq,
            "category": "bench",
            "action": "user.login",
            "occurredAt": (told := chain.timestamp(moment)),
            "recordedAt": told,
            "prevHash": head.hash,
            "actor": actor_commitment,
            "content": content_commitment,
        }
        digest = hashlib.sha256(_dumps(envelope)).hexdigest()
        yield (
            event_id, company_id, workspace_id, seq, "bench", "user.login", told, told,
            json.dumps(actor), json.dumps(payload),
            salts[0].hex(), actor_commitment, salts[1].hex(), content_commitment, head.hash, digest,
        )  # fmt: skip
        head.seq, head.hash = seq, digest


def _dumps(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
