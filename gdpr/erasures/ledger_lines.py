"""The lines of a ledger (gdpr.erasures.ledger), one JSON object each: what they hold, and reading them strictly.

A ledger comes from outside of the database, and what it says is carried out: whatever has not exactly this form is
refused, with the rule that it breaks.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import erasing
from gdpr.erasures import checked

FORMAT = "hyrelog-erasure-ledger"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Approved:
    """Which account approved an erasure, and when."""

    user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Header:
    """The erasure that a ledger is of."""

    erasure_id: uuid.UUID
    company_id: uuid.UUID
    pseudonym: str
    requested_at: datetime
    due_at: datetime
    approvals: tuple[Approved, ...]
    started_at: datetime | None
    completed_at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a record lists it: which of its values were replaced, by column."""

    id: uuid.UUID
    commitments: Mapping[erasing.Part, str]
    """The fresh one of each part that was erased."""
    replaced: Mapping[str, Sequence[int]]

    def replaced_in(self, part: erasing.Part) -> dict[str, Sequence[int]]:
        """What was replaced in the columns of a part."""
        return {column: self.replaced[column] for column in erasing.COLUMNS[part] if column in self.replaced}


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the erasure in the company's `system` chain."""

    id: uuid.UUID
    seq: int
    recorded_at: datetime
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A row other than an event in which values were replaced; in one that went as a whole, none were."""

    table: str
    key: str
    replaced: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Signature:
    """Of all lines before it: their SHA-256, and by which key that was signed."""

    key_id: str
    sha256: str
    signature: str


Line = Header | Record | Row | Signature


def read_line(sent: Any) -> Line:
    """What a line says, of which `sent` is the JSON value. Raises ValueError with the rule that it breaks."""
    if not isinstance(sent, dict):
        raise ValueError("a line must be an object")  # noqa: TRY004  as for any other rule
    if "format" in sent:
        return _header(sent)
    kinds: Mapping[str, Callable[[Any], Line]] = {"record": _record, "row": _row, "signature": _signature}
    if len(sent) != 1 or not sent.keys() <= kinds.keys():
        raise ValueError("a line must have exactly one of the fields record, row, signature, or be the header")
    ((kind, said),) = sent.items()
    return kinds[kind](said)


def _header(sent: Mapping[str, Any]) -> Header:
    names = (
        *("format", "version", "erasureId", "companyId", "pseudonym", "requestedAt", "dueAt"),
        *("approvals", "startedAt", "completedAt", "counts"),
    )
    checked.fields(sent, "the header", names)
    if sent["format"] != FORMAT or type(sent["version"]) is not int or sent["version"] != VERSION:
        raise ValueError(f"it is no ledger of version {VERSION}: format must be {FORMAT!r}, version {VERSION}")
    approvals = checked.items(sent["approvals"], "approvals")
    counts = checked.mapping(sent["counts"], "counts").items()
    return Header(
        erasure_id=checked.uuid_of(sent["erasureId"], "erasureId"),
        company_id=checked.uuid_of(sent["companyId"], "companyId"),
        pseudonym=checked.matching(sent["pseudonym"], "pseudonym", r"erased-[0-9a-f]{16}"),
        requested_at=checked.moment(sent["requestedAt"], "requestedAt"),
        due_at=checked.moment(sent["dueAt"], "dueAt"),
        approvals=tuple(_approved(one, f"approvals[{n}]") for n, one in enumerate(approvals)),
        started_at=None if sent["startedAt"] is None else checked.moment(sent["startedAt"], "startedAt"),
        completed_at=checked.moment(sent["completedAt"], "completedAt"),
        counts={checked.text(of, "counts (the name)", most=63): checked.number(n, f"counts.{of}") for of, n in counts},
    )


def _approved(sent: Any, where: str) -> Approved:
    checked.fields(sent, where, ("userId", "at"))
    return Approved(checked.number(sent["userId"], f"{where}.userId"), checked.moment(sent["at"], f"{where}.at"))


def _record(sent: Any) -> Record:
    checked.fields(sent, "record", ("id", "seq", "recordedAt", "events"))
    events = checked.items(sent["events"], "record.events")
    if not 0 < len(events) <= erasing.MOST_EVENTS:
        raise ValueError(f"record.events has {len(events)} items; a record names 1 to {erasing.MOST_EVENTS} events")
    return Record(
        id=checked.uuid_of(sent["id"], "record.id"),
        seq=checked.number(sent["seq"], "record.seq"),
        recorded_at=checked.moment(sent["recordedAt"], "record.recordedAt"),
        events=tuple(read_event(one, f"record.events[{n}]") for n, one in enumerate(events)),
    )


def read_event(sent: Any, where: str) -> Event:
    """An event as a record's payload lists it. Raises ValueError with `where` and the rule that it breaks."""
    checked.fields(sent, where, ("id", "replaced"), optional=erasing.PARTS)
    parts = tuple(part for part in erasing.PARTS if part in sent)
    if not parts:
        raise ValueError(f"{where} must have at least one of the fields {' and '.join(erasing.PARTS)}")
    commitments = {part: checked.matching(sent[part], f"{where}.{part}", "[0-9a-f]{64}") for part in parts}
    replaced = _replaced(sent["replaced"], f"{where}.replaced")
    known = [column for part in parts for column in erasing.COLUMNS[part]]
    if others := replaced.keys() - set(known):
        raise ValueError(f"{where}.replaced names {min(others)[:80]!r}; known there are {', '.join(known)}")
    return Event(checked.uuid_of(sent["id"], f"{where}.id"), commitments, replaced)


def _row(sent: Any) -> Row:
    checked.fields(sent, "row", ("table", "key", "replaced"))
    table = checked.matching(sent["table"], "row.table", "[a-z_][a-z0-9_]{0,62}")
    return Row(table, checked.text(sent["key"], "row.key", most=64), _replaced(sent["replaced"], "row.replaced"))


def _replaced(sent: Any, where: str) -> dict[str, tuple[int, ...]]:
    made: dict[str, tuple[int, ...]] = {}
    for column, numbers in checked.mapping(sent, where).items():
        path = f"{where}.{checked.text(column, f'{where} (the name)', most=63)}"
        made[column] = tuple(checked.number(number, path) for number in checked.items(numbers, path))
    return made


def _signature(sent: Any) -> Signature:
    checked.fields(sent, "signature", ("algorithm", "keyId", "sha256", "signature"))
    if sent["algorithm"] != "Ed25519":
        raise ValueError("signature.algorithm must be 'Ed25519'")
    return Signature(
        key_id=checked.matching(sent["keyId"], "signature.keyId", "[0-9a-f]{16}"),
        sha256=checked.matching(sent["sha256"], "signature.sha256", "[0-9a-f]{64}"),
        signature=checked.matching(sent["signature"], "signature.signature", "[0-9a-f]{128}"),
    )
