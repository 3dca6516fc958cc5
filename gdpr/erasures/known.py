"""What is known of erasures that were carried out: from ledgers, and from the records and rows of this database.

Gathered in a scratch file of SQLite on this machine, which is gone afterwards: there may be millions of events, and
each is asked for by its id and by its erasure. It holds ids, numbers and pseudonyms, and no identifier.
"""

import json
import sqlite3
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from audit.chain import timestamp
from audit.erasing import PARTS, Part, erasure_of
from audit.models import AuditEvent
from gdpr.erasures import ledger
from gdpr.erasures.ledger_lines import Event, Header, Record, Row, read_event
from gdpr.erasures.repeating import Listing, Recorded
from gdpr.models import ErasedRow, Erasure

_SCHEMA = """
CREATE TABLE listed (
    event TEXT, erasure TEXT, part TEXT, at TEXT, seq INTEGER, replaced TEXT, PRIMARY KEY (event, erasure, part)
) WITHOUT ROWID;
CREATE INDEX listed_by ON listed (erasure, event);
CREATE TABLE recorded (
    event TEXT, part TEXT, seq INTEGER, erasure TEXT, record TEXT, commitment TEXT, replaced TEXT,
    PRIMARY KEY (event, part, seq)
) WITHOUT ROWID;
CREATE TABLE erased_row (
    erasure TEXT, "table" TEXT, "key" TEXT, replaced TEXT, PRIMARY KEY (erasure, "table", "key")
) WITHOUT ROWID;
"""
_LIST = """
INSERT INTO listed VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET at = excluded.at, seq = excluded.seq, replaced = excluded.replaced
WHERE (excluded.at, excluded.seq) < (listed.at, listed.seq)
"""
_RECORD = "INSERT OR IGNORE INTO recorded VALUES (?, ?, ?, ?, ?, ?, ?)"
_FIRST_LISTED = """
SELECT DISTINCT event FROM listed AS mine WHERE erasure = ? AND event > ? AND NOT EXISTS (
    SELECT 1 FROM listed AS other
    WHERE other.event = mine.event AND (other.at, other.seq, other.erasure) < (mine.at, mine.seq, mine.erasure)
) ORDER BY event LIMIT ?
"""


@dataclass(slots=True)
class Known:
    """An erasure of which something is known: `header` where there is a ledger, `pseudonym` where anything says it."""

    erasure_id: uuid.UUID
    company_id: uuid.UUID
    since: str
    """When its first record was made, or it was completed: the order in which erasures are repeated."""
    header: Header | None = None
    pseudonym: str | None = None
    completed_at: datetime | None = None


class Gathered:
    """All that is known of the erasures of all companies.

    A part that an erasure lists several times counts as it was listed first: what was listed later repeats that.
    """

    def __init__(self, scratch: sqlite3.Connection) -> None:
        self._scratch = scratch
        self._known: dict[uuid.UUID, Known] = {}
        scratch.executescript(_SCHEMA)

    # --- Putting in ---------------------------------------------------------------------------------------------

    def take_ledger(self, file: IO[bytes], *, name: str, keys: Mapping[str, str] | None = None) -> Header:
        """Take in a ledger, all of it or nothing. Raises gdpr.erasures.ledger.FaultyLedger, OSError."""
        header, since = None, ""
        with self._scratch:  # what was read before a fault is rolled back
            for line in ledger.read(file, name=name, keys=keys):
                match line:
                    case Header():
                        header = line
                        erasure = str(header.erasure_id)
                    case Record():
                        since = since or timestamp(line.recorded_at)
                        self._list(erasure, timestamp(line.recorded_at), line.seq, line.events)
                    case Row():
                        self._note_row(erasure, line)
        assert header is not None  # noqa: S101  `read` ends with a header, or raises
        known = self._of(header.erasure_id, header.company_id, since or timestamp(header.completed_at))
        known.header, known.pseudonym, known.completed_at = header, header.pseudonym, header.completed_at
        return header

    def take_record(self, record: AuditEvent) -> None:
        """Take in a record of this database. Raises ValueError where it has not the form of one."""
        erasure = uuid.UUID(erasure_of(record))
        events = (record.payload or {}).get("events")
        if not isinstance(events, list):
            raise ValueError(f"Event {record.pk} has not the form of an erasure's record.")  # noqa: TRY004
        read = [read_event(event, f"Event {record.pk}, payload.events[{n}]") for n, event in enumerate(events)]
        at = timestamp(record.recorded_at)
        with self._scratch:
            self._list(str(erasure), at, record.seq, read)
            mine = (record.seq, str(erasure), str(record.pk))
            self._scratch.executemany(
                _RECORD,
                (
                    (str(event.id), part, *mine, commitment, json.dumps(event.replaced_in(part)))
                    for event in read
                    for part, commitment in event.commitments.items()
                ),
            )
        self._of(erasure, record.company_id, at)

    def take_rows(self, rows: Iterable[ErasedRow]) -> None:
        """Take in rows of this database."""
        with self._scratch:
            for row in rows:
                self._note_row(str(row.erasure_id), Row(row.table, row.key, row.replaced))

    def take_erasure(self, erasure: Erasure) -> None:
        """Take in what this database knows of an erasure; one of which there is nothing to repeat says nothing."""
        known = self._known.get(erasure.pk)
        if known is None and erasure.completed_at:
            known = self._of(erasure.pk, erasure.company_id, timestamp(erasure.completed_at))
        if known:
            known.pseudonym = known.pseudonym or erasure.pseudonym
            known.completed_at = known.completed_at or erasure.completed_at

    def _of(self, erasure_id: uuid.UUID, company_id: uuid.UUID, since: str) -> Known:
        known = self._known.setdefault(erasure_id, Known(erasure_id, company_id, since))
        known.since = min(known.since, since)
        return known

    def _list(self, erasure: str, at: str, seq: int, events: Sequence[Event]) -> None:
        rows = (
            (str(event.id), erasure, part, at, seq, json.dumps(event.replaced_in(part)))
            for event in events
            for part in event.commitments
        )
        self._scratch.executemany(_LIST, rows)

    def _note_row(self, erasure: str, row: Row) -> None:
        statement = "INSERT OR IGNORE INTO erased_row VALUES (?, ?, ?, ?)"
        self._scratch.execute(statement, (erasure, row.table, row.key, json.dumps(row.replaced)))

    # --- Asking -------------------------------------------------------------------------------------------------

    def companies(self) -> list[uuid.UUID]:
        """Those of which an erasure is known."""
        return sorted({one.company_id for one in self._known.values()})

    def erasures_of(self, company_id: uuid.UUID) -> list[Known]:
        """The erasures of a company, in the order in which they were made."""
        mine = [one for one in self._known.values() if one.company_id == company_id]
        return sorted(mine, key=lambda one: (one.since, one.erasure_id))

    def events_of(self, known: Known, *, most: int) -> Iterator[list[str]]:
        """The ids of the events that an erasure lists before any other one does, so many at once."""
        after = ""
        while some := self._scratch.execute(_FIRST_LISTED, (str(known.erasure_id), after, most)).fetchall():
            yield [event for (event,) in some]
            after = some[-1][0]

    def listings_of(self, event_id: str) -> list[Listing]:
        """What lists an event, in the order in which it was erased."""
        statement = (
            "SELECT erasure, json_group_array(part), json_group_array(json(replaced)) FROM listed WHERE event = ?"
            " GROUP BY at, seq, erasure ORDER BY at, seq, erasure"
        )
        return [
            Listing(
                erasure,
                self._known[uuid.UUID(erasure)].pseudonym,
                json.loads(parts),
                {column: numbers for one in json.loads(replaced) for column, numbers in one.items()},
            )
            for erasure, parts, replaced in self._scratch.execute(statement, (event_id,))
        ]

    def recorded_of(self, event_id: str) -> dict[Part, list[Recorded]]:
        """By part, the records of this database that list an event, in the chain's order."""
        found: dict[Part, list[Recorded]] = {part: [] for part in PARTS}
        statement = "SELECT part, erasure, record, commitment, replaced FROM recorded WHERE event = ? ORDER BY seq"
        for part, erasure, record, commitment, replaced in self._scratch.execute(statement, (event_id,)):
            found[part].append(Recorded(erasure, record, commitment, json.loads(replaced)))
        return found

    def rows_of(self, known: Known, *, most: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """The other rows of an erasure, so many at once: their table, and what was replaced, by key."""
        statement = (
            'SELECT "table", "key", replaced FROM erased_row WHERE erasure = ? AND ("table", "key") > (?, ?) '
            'ORDER BY "table", "key" LIMIT ?'
        )
        after = ("", "")
        while some := self._scratch.execute(statement, (str(known.erasure_id), *after, most)).fetchall():
            table = some[0][0]
            mine = [row for row in some if row[0] == table]
            yield table, {key: json.loads(replaced) for _, key, replaced in mine}
            after = mine[-1][:2]


@contextmanager
def gathering() -> Iterator[Gathered]:
    """An empty collection, whose scratch file is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hyrelog-replay-") as folder:
        scratch = sqlite3.connect(f"{folder}/known.sqlite3")
        try:
            scratch.execute("PRAGMA synchronous = OFF")
            yield Gathered(scratch)
        finally:
            scratch.close()
