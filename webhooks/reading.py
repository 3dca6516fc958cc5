"""Reading the events of a batch: in one statement, and no more of them than there is room for."""

import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connection

_TEXTS = {
    "id": "id::text",
    "companyId": "company_id::text",
    "workspaceId": "workspace_id::text",
    "seq": "seq",
    "hash": "hash",
    "prevHash": "prev_hash",
    "category": "category",
    "action": "action",
    "occurredAt": """to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "recordedAt": """to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "traceId": "context ->> 'traceId'",
}
_JSON = ("actor", "target", "payload", "metadata", "changes")
_NAMES = (*_TEXTS, *_JSON)
_SMALLEST = 1024
"""Bytes that an event takes beside its JSON."""

# As the database's own JSON, which is measured here, and goes out, without being taken apart.
_READ = f"""
    WITH asked AS (
        SELECT id, place FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS asked (id, place)
    ), event AS MATERIALIZED (
        SELECT id AS key, place, {", ".join(f'{column} AS "{name}"' for name, column in _TEXTS.items())},
            {", ".join(f"{name}::text AS {name}" for name in _JSON)}
        FROM audit_auditevent JOIN asked USING (id)
    ), sized AS (
        SELECT *, sum({_SMALLEST} + {" + ".join(f"coalesce(octet_length({name}), 0)" for name in _JSON)})
            OVER (ORDER BY place) AS total
        FROM event
    )
    SELECT key, {", ".join(f'"{name}"' for name in _NAMES)} FROM sized WHERE total <= %(room)s OR place = 1
"""  # noqa: S608  column names only


def read(ids: Sequence[uuid.UUID], *, room: int) -> dict[uuid.UUID, dict[str, Any]]:
    """The first of these events that take at most `room` bytes together, and the first one in any case, by id.

    Each is what `AuditEvent.as_json` shows, for `orjson.dumps`: what is JSON already is an `orjson.Fragment`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"ids": list(ids), "room": room})
        return {row[0]: _shown(row) for row in cursor.fetchall()}


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    shown = dict(zip(_NAMES, row[1:], strict=True))
    for name in _JSON:
        if shown[name] is not None:
            shown[name] = orjson.Fragment(shown[name])
    return shown
