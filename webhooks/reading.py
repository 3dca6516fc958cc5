"""Reading the events of a batch: in one statement, and no more of them than there is room for."""

import uuid
from collections.abc import Sequence

import orjson
from django.db import connection

from audit.models import AuditEvent

_PLAIN = ("id", "company_id", "workspace_id", "seq", "category", "action", "occurred_at", "recorded_at")
_JSON = ("actor", "target", "payload", "metadata", "changes", "context")
_HASHES = ("prev_hash", "hash")
_COLUMNS = (*_PLAIN, *_JSON, *_HASHES)  # in the model's order
_SMALLEST = 1024
"""Bytes that an event takes beside its JSON."""

# As texts: the largest parts are measured and read in one go, and parsed faster than Django would.
_READ = f"""
    WITH asked AS (
        SELECT id, place FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS asked (id, place)
    ), event AS MATERIALIZED (
        SELECT place, {", ".join((*_PLAIN, *_HASHES))}, {", ".join(f"{name}::text AS {name}" for name in _JSON)}
        FROM audit_auditevent JOIN asked USING (id)
    ), sized AS (
        SELECT *, sum({_SMALLEST} + {" + ".join(f"coalesce(octet_length({name}), 0)" for name in _JSON)})
            OVER (ORDER BY place) AS total
        FROM event
    )
    SELECT {", ".join(_COLUMNS)} FROM sized WHERE total <= %(room)s OR place = 1
"""  # noqa: S608  column names only


def read(ids: Sequence[uuid.UUID], *, room: int) -> dict[uuid.UUID, AuditEvent]:
    """The first of these events that take at most `room` bytes together, and the first one in any case, by id."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"ids": list(ids), "room": room})
        return {row[0]: _event(row) for row in cursor.fetchall()}


def _event(row: tuple[object, ...]) -> AuditEvent:
    values = list(row)
    for place in range(len(_PLAIN), len(_PLAIN) + len(_JSON)):
        values[place] = values[place] and orjson.loads(str(values[place]))
    return AuditEvent.from_db("default", _COLUMNS, values)
