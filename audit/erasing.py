"""Erasing parts of events, the sanctioned change besides retention, and its record in the chain (design, section 7).

A part is what one commitment covers: the `actor`, or the `content`. An erasure replaces values in it, destroys its salt
and keeps its commitment: the chain still verifies, and nobody can guess the old value from it. In place of the salt
comes a fresh one, and the fresh commitment of what now stands there goes into an event `gdpr.erased` of the company's
`system` workspace, together with the ids of the erased events. So a missing salt is no licence to forge: what stands in
an erased part must match the latest record that names it.

The database holds the events to it: its trigger lets an event be changed only where the part's salt goes and a record
in the chain names the event and the part.
"""

import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db import connection
from django.db.models import Q

from audit import chain
from audit.drafts import SYSTEM_CATEGORY
from audit.models import AuditEvent, Company
from audit.models.company import SYSTEM_WORKSPACE
from audit.recording import record_system

ERASED = "gdpr.erased"
"""The action of a record."""
MOST_EVENTS = 200
"""That one record names: it stays an event of some 100 KB, and its transaction short."""

MOST_NUMBERS = 20_000
"""Of replaced values, in one record that names several events: a hostile event may have half a million."""

Part = Literal["actor", "content"]
PARTS: tuple[Part, ...] = ("actor", "content")
COLUMNS: Mapping[Part, tuple[str, ...]] = {
    "actor": ("actor",),
    "content": ("target", "payload", "metadata", "changes", "context"),
}
"""The columns of an event that each part consists of."""
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID in the one spelling that the database's trigger and the verifier of archives read, too."""
_COMMITMENT = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is to stand in an event instead: `event` as it was read and locked, `values` by column.

    `replaced` says for each of these columns which of its values were replaced (gdpr.erasures.values), so that the
    erasure can be repeated after a backup was restored.
    """

    event: AuditEvent
    values: Mapping[str, Any]
    replaced: Mapping[str, Sequence[int]]

    @property
    def parts(self) -> list[Part]:
        """The parts that `values` touches."""
        return [part for part in PARTS if any(column in self.values for column in COLUMNS[part])]


@dataclass(frozen=True, slots=True)
class Listed:
    """An event as a record names it: the fresh commitment of each part that was erased."""

    event_id: str
    commitments: Mapping[Part, str]
    replaced: Mapping[str, Sequence[int]]


def in_records(replacements: Iterable[Replacement]) -> Iterator[list[Replacement]]:
    """The same in parts that are each for one record: an event of very many values stands in one of its own."""
    part: list[Replacement] = []
    room = MOST_NUMBERS
    for replacement in replacements:
        numbers = sum(map(len, replacement.replaced.values()))
        if part and (len(part) == MOST_EVENTS or numbers > room):
            yield part
            part, room = [], MOST_NUMBERS
        part.append(replacement)
        room -= numbers
    if part:
        yield part


def erase(*, company: Company, erasure_id: uuid.UUID, replacements: Sequence[Replacement], now: datetime) -> AuditEvent:
    """Replace parts of events and record it, in the caller's transaction, which holds the events' locks.

    At most MOST_EVENTS of them, all of this company, in the order of their ids, none of them a record itself; returns
    the record. Raises audit.models.company.ChainBusy, ValueError for what cannot be erased.
    """
    if not 0 < len(replacements) <= MOST_EVENTS:
        raise ValueError(f"{len(replacements)} events are to be erased; one record names 1 to {MOST_EVENTS}.")
    changes: list[dict[str, Any]] = []
    listed: list[dict[str, Any]] = []
    for replacement in replacements:
        if is_record(replacement.event) or not replacement.parts:
            raise ValueError(f"Event {replacement.event.pk} is the record of an erasure, or nothing of it is replaced.")
        salts, commitments = _sealed_anew(replacement)
        event_id = str(replacement.event.pk)
        changes.append({"id": event_id, "values": {**replacement.values}, "salts": salts})
        replaced = {column: list(numbers) for column, numbers in replacement.replaced.items()}
        listed.append({"id": event_id, **dict(commitments.items()), "replaced": replaced})
    payload: dict[str, object] = {"erasureId": str(erasure_id), "events": listed}
    record = record_system(company=company, action=ERASED, payload=payload, now=now)
    with connection.cursor() as cursor:
        cursor.execute(_REPLACE, {"changes": json.dumps(changes), "record": record.pk, "company": company.pk})
        if cursor.rowcount != len(changes):
            raise ValueError(
                f"{cursor.rowcount} of {len(changes)} events were replaced: each must stand there once, and be one of"
                f" company {company.pk}."
            )
    return record


def _sealed_anew(replacement: Replacement) -> tuple[dict[Part, str], dict[Part, str]]:
    """By part that is touched, the fresh salt and the fresh commitment."""
    event, salts, commitments = replacement.event, {}, {}
    for column, value in replacement.values.items():
        setattr(event, column, value)
    for part in replacement.parts:
        salts[part] = os.urandom(chain.SALT_BYTES).hex()
        commitments[part] = chain.commitment(salts[part], event.actor if part == "actor" else event.content)
    return salts, commitments


def _of_parts() -> Iterator[str]:
    for part, columns in COLUMNS.items():
        for column in columns:
            given = f"made.values ? '{column}' THEN made.values -> '{column}'"
            yield f"{column} = CASE WHEN {given} ELSE event.{column} END"
        touched = f"CASE WHEN made.salts ? '{part}' THEN"
        yield f"{part}_salt = {touched} NULL ELSE event.{part}_salt END"
        yield f"{part}_fresh_salt = {touched} made.salts ->> '{part}' ELSE event.{part}_fresh_salt END"
        yield f"{part}_erased_by = {touched} %(record)s ELSE event.{part}_erased_by END"


# A statement for each event would have the database look for its record each time.
_REPLACE = (
    f"UPDATE audit_auditevent AS event SET {', '.join(_of_parts())} "  # noqa: S608  names of columns
    "FROM jsonb_to_recordset(%(changes)s::jsonb) AS made(id uuid, values jsonb, salts jsonb) "
    "WHERE event.id = made.id AND event.company_id = %(company)s"
)


def is_record(event: AuditEvent) -> bool:
    """Whether the event has the form of a record; whether it is one, its place in the `system` chain says."""
    return event.category == SYSTEM_CATEGORY and event.action == ERASED


def records_of(company: Company) -> Any:
    """The records of a company's erasures, in the order of the chain."""
    whose = Q(company=company, workspace__name=SYSTEM_WORKSPACE, category=SYSTEM_CATEGORY, action=ERASED)
    return AuditEvent.objects.filter(whose).order_by("seq")


def listed_in(record: AuditEvent) -> list[Listed]:
    """The events that a record names; raises ValueError where it has not the form of one (docs/archive.md)."""
    return _read(record)[1]


def erasure_of(record: AuditEvent) -> str:
    """The id of the erasure that a record belongs to; raises ValueError where it has not the form of one."""
    return _read(record)[0]


def _read(record: AuditEvent) -> tuple[str, list[Listed]]:
    payload: Any = record.payload
    if isinstance(payload, dict) and payload.keys() == {"erasureId", "events"} and _is_id(payload["erasureId"]):
        events = payload["events"]
        if isinstance(events, list) and 0 < len(events) <= MOST_EVENTS and all(map(_is_listed, events)):
            listed = [Listed(item["id"], {p: item[p] for p in PARTS if p in item}, item["replaced"]) for item in events]
            if len({one.event_id for one in listed}) == len(listed):
                return payload["erasureId"], listed
    raise ValueError(f"Event {record.pk} has not the form of an erasure's record.")


def _is_listed(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and {"id", "replaced"} < item.keys() <= {"id", "replaced", *PARTS}
        and _is_id(item["id"])
        and all(_matches(_COMMITMENT, item[part]) for part in PARTS if part in item)
        and isinstance(item["replaced"], dict)
        and item["replaced"].keys() <= {column for columns in COLUMNS.values() for column in columns}
        and all(isinstance(ns, list) and all(type(n) is int and n >= 0 for n in ns) for ns in item["replaced"].values())
    )


def _is_id(value: Any) -> bool:
    return _matches(_ID, value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
