"""The lines of a ledger (gdpr.erasures.ledger), one JSON object each: what they hold, and reading them strictly.

A ledger comes from outside of the database, and what it says is carried out: whatever has not exactly this form is
refused, with the rule that it breaks.
"""

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit import erasing

FORMAT = "hyrelog-erasure-ledger"
VERSION = 1
MOST_TEXT = 250
"""Characters of the name of somebody who requested or approved, as their columns have it."""


@dataclass(frozen=True, slots=True)
class Approved:
    """Who approved an erasure, and when."""

    user_id: int
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Header:
    """The erasure that a ledger is of."""

    erasure_id: uuid.UUID
    company_id: uuid.UUID
    pseudonym: str
    requested_by: str
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
    parts: tuple[erasing.Part, ...]
    replaced: Mapping[str, Sequence[int]]


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
        *("format", "version", "erasureId", "companyId", "pseudonym", "requestedAt", "requestedBy", "dueAt"),
        *("approvals", "startedAt", "completedAt", "counts"),
    )
    _object(sent, "the header", names)
    if sent["format"] != FORMAT or type(sent["version"]) is not int or sent["version"] != VERSION:
        raise ValueError(f"it is no ledger of version {VERSION}: format must be {FORMAT!r}, version {VERSION}")
    approvals = _list(sent["approvals"], "approvals")
    counts = _mapping(sent["counts"], "counts")
    return Header(
        erasure_id=_id(sent["erasureId"], "erasureId"),
        company_id=_id(sent["companyId"], "companyId"),
        pseudonym=_matching(sent["pseudonym"], "pseudonym", r"erased-[0-9a-f]{16}"),
        requested_by=_text(sent["requestedBy"], "requestedBy", most=MOST_TEXT),
        requested_at=_time(sent["requestedAt"], "requestedAt"),
        due_at=_time(sent["dueAt"], "dueAt"),
        approvals=tuple(_approved(one, f"approvals[{n}]") for n, one in enumerate(approvals)),
        started_at=None if sent["startedAt"] is None else _time(sent["startedAt"], "startedAt"),
        completed_at=_time(sent["completedAt"], "completedAt"),
        counts={
            _text(table, "counts (the name)", most=63): _number(n, f"counts.{table}") for table, n in counts.items()
        },
    )


def _approved(sent: Any, where: str) -> Approved:
    _object(sent, where, ("userId", "by", "at"))
    by = _text(sent["by"], f"{where}.by", most=MOST_TEXT)
    return Approved(_number(sent["userId"], f"{where}.userId"), by, _time(sent["at"], f"{where}.at"))


def _record(sent: Any) -> Record:
    _object(sent, "record", ("id", "seq", "recordedAt", "events"))
    events = _list(sent["events"], "record.events")
    if not 0 < len(events) <= erasing.MOST_EVENTS:
        raise ValueError(f"record.events has {len(events)} items; a record names 1 to {erasing.MOST_EVENTS} events")
    return Record(
        id=_id(sent["id"], "record.id"),
        seq=_number(sent["seq"], "record.seq"),
        recorded_at=_time(sent["recordedAt"], "record.recordedAt"),
        events=tuple(read_event(one, f"record.events[{n}]") for n, one in enumerate(events)),
    )


def read_event(sent: Any, where: str) -> Event:
    """An event as a record's payload lists it. Raises ValueError with `where` and the rule that it breaks."""
    _object(sent, where, ("id", "replaced"), optional=erasing.PARTS)
    parts = tuple(part for part in erasing.PARTS if part in sent)
    if not parts:
        raise ValueError(f"{where} must have at least one of the fields {' and '.join(erasing.PARTS)}")
    for part in parts:
        _matching(sent[part], f"{where}.{part}", "[0-9a-f]{64}")
    replaced = _replaced(sent["replaced"], f"{where}.replaced")
    known = [column for part in parts for column in erasing.COLUMNS[part]]
    if others := replaced.keys() - set(known):
        raise ValueError(f"{where}.replaced names {min(others)[:80]!r}; known there are {', '.join(known)}")
    return Event(_id(sent["id"], f"{where}.id"), parts, replaced)


def _row(sent: Any) -> Row:
    _object(sent, "row", ("table", "key", "replaced"))
    table = _matching(sent["table"], "row.table", "[a-z_][a-z0-9_]{0,62}")
    return Row(table, _text(sent["key"], "row.key", most=64), _replaced(sent["replaced"], "row.replaced"))


def _replaced(sent: Any, where: str) -> dict[str, tuple[int, ...]]:
    made: dict[str, tuple[int, ...]] = {}
    for column, numbers in _mapping(sent, where).items():
        path = f"{where}.{_text(column, f'{where} (the name)', most=63)}"
        made[column] = tuple(_number(number, path) for number in _list(numbers, path))
    return made


def _signature(sent: Any) -> Signature:
    _object(sent, "signature", ("algorithm", "keyId", "sha256", "signature"))
    if sent["algorithm"] != "Ed25519":
        raise ValueError("signature.algorithm must be 'Ed25519'")
    return Signature(
        key_id=_matching(sent["keyId"], "signature.keyId", "[0-9a-f]{16}"),
        sha256=_matching(sent["sha256"], "signature.sha256", "[0-9a-f]{64}"),
        signature=_matching(sent["signature"], "signature.signature", "[0-9a-f]{128}"),
    )


def _object(sent: Any, where: str, names: Sequence[str], *, optional: Sequence[str] = ()) -> None:
    if not isinstance(sent, dict) or not set(names) <= sent.keys() <= {*names, *optional}:
        more = f", and may have {', '.join(optional)}" if optional else ""
        raise ValueError(f"{where} must have exactly the fields {', '.join(names)}{more}")


def _mapping(sent: Any, where: str) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise ValueError(f"{where} must be an object")  # noqa: TRY004
    return sent


def _list(sent: Any, where: str) -> list[Any]:
    if not isinstance(sent, list):
        raise ValueError(f"{where} must be a list")  # noqa: TRY004
    return sent


def _text(sent: Any, where: str, *, most: int) -> str:
    if not isinstance(sent, str) or not 0 < len(sent) <= most or "\0" in sent:
        raise ValueError(f"{where} must be a text of 1 to {most} characters, without NUL")
    return sent


def _number(sent: Any, where: str) -> int:
    if type(sent) is not int or not 0 <= sent < 2**53:
        raise ValueError(f"{where} must be a whole number from 0 on")
    return sent


def _matching(sent: Any, where: str, pattern: str) -> str:
    if not isinstance(sent, str) or not re.fullmatch(pattern, sent, flags=re.ASCII):
        raise ValueError(f"{where} must match {pattern}")
    return sent


def _id(sent: Any, where: str) -> uuid.UUID:
    return uuid.UUID(_matching(sent, where, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"))


def _time(sent: Any, where: str) -> datetime:
    text = _matching(sent, where, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{where} is no time: {text}") from None
