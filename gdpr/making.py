"""Making an archive: of what was ordered, into a file, whoever ordered it: a job or a command."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from audit.chain import timestamp
from audit.checkpoints import Walk, checkpoint, reaches
from audit.erasing import records_of
from audit.models import AuditEvent, Company
from audit.models.company import SYSTEM_WORKSPACE
from audit.personal_data import Covered, covered, excluded
from gdpr import describing, spreadsheet, verify
from gdpr.archiving import Archive, Entry, as_text
from gdpr.erasures.proving import ErasureProofs
from gdpr.estimating import estimate_bytes, estimate_rows
from gdpr.progress import Advance, Meter
from gdpr.proving import Proofs
from gdpr.reading import AS_JSON, Part, read
from gdpr.searching import search
from gdpr.selecting import Selection, events_of_chain, rows_of_company
from gdpr.subjects import Subject

FORMAT, SCHEMA_VERSION = "hyrelog-export", 3
PROOFS, ERASURES = "proofs/audit_auditevent.ndjson", "proofs/erasures.ndjson"

Clock = Callable[[], datetime]


class MissingRows(Exception):
    """A file of the archive has not the rows that it must have; the message says which and how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an archive is to hold, and who asked for it; `job_id` is None where no job makes it."""

    company: Company
    scope: str
    subject: Subject | None
    csv: bool
    requested_by: str
    requested_at: datetime
    job_id: uuid.UUID | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Made:
    """What an archive holds: rows by table, the signed checkpoint, and so many bytes in its files, once unpacked.

    `reached` is the seq of the company's `system` chain before anything was read.
    """

    counts: dict[str, int]
    checkpoint: dict[str, Any]
    size: int
    reached: int


def make(order: Order, file: IO[bytes], *, clock: Clock, advance: Advance = lambda _: None) -> Made:
    """Write the archive into an empty file that can be written and sought in; what it holds is signed.

    Reads in many short statements; none but these should be in a transaction of the caller's. `advance` is told
    of each part; what it raises passes, and the file is of no use then. Raises audit.checkpoints.BrokenChain and
    MissingRows: there is no smaller archive.
    """
    with Archive(file) as archive, closing(Proofs()) as proofs:
        return _Making(order, archive, proofs, clock, advance).make()


class _Making:
    """One archive in the making."""

    def __init__(self, order: Order, archive: Archive, proofs: Proofs, clock: Clock, advance: Advance) -> None:
        self._order = order
        self._archive = archive
        self._proofs = proofs
        self._clock = clock
        self._began = clock()
        self._reaches = reaches(order.company)
        self._system = next(reach for reach in self._reaches if reach.name == SYSTEM_WORKSPACE)
        self._erasures = ErasureProofs()
        self._meter = Meter(advance)
        self._counts: dict[str, int] = {}

    def make(self) -> Made:
        self._expect()
        chains: list[dict[str, Any]] = []
        for table in covered():
            with self._archive.table(_file_of(table), table=table.table) as entry:
                if table.model is AuditEvent:
                    chains = self._write_events(table, entry)
                else:
                    self._write(entry, table.table, rows_of_company(table, self._order.company))
            self._counts[table.table] = entry.rows
        if self._order.subject:
            self._write_proofs()
        if self._order.csv:
            self._write_csv()
        signed = checkpoint(self._order.company, chains=chains, issued_at=self._began)
        self._seal(signed)
        size = sum(file["bytes"] for file in self._archive.files)
        return Made(self._counts, signed, size, self._system.seq)

    def _expect(self) -> None:
        for table in covered():
            selection = rows_of_company(table, self._order.company)
            is_events = table.model is AuditEvent
            rows = sum(reach.seq for reach in self._reaches) if is_events else estimate_rows(selection)
            size = estimate_bytes(selection, rows=rows)
            self._meter.expect(table.table, rows=rows, size=size)
            if is_events and self._order.csv:
                self._meter.expect(spreadsheet.FILE, rows=rows, size=size)

    def _write_events(self, table: Covered, entry: Entry) -> list[dict[str, Any]]:
        """Write each chain up to where it reached, and follow it; the chains as the checkpoint tells of them."""
        chains = []
        for reach in self._reaches:
            walk = Walk(reach, tree=self._proofs.begin(reach) if self._order.subject else None)
            self._write(entry, table.table, events_of_chain(table, reach), walk=walk)
            chains.append(walk.end())
            if self._order.subject:
                for _ in self._proofs.end():
                    self._meter.tell(PROOFS)
        return chains

    def _write_proofs(self) -> None:
        with self._archive.table(PROOFS, table=AuditEvent._meta.db_table) as entry:  # noqa: SLF001
            for rows, text in self._proofs.parts():
                entry.write(text, rows=rows)
                self._meter.tell(PROOFS)
        if self._erasures:
            self._write_erasures()

    def _write_erasures(self) -> None:
        events = next(table for table in covered() if table.model is AuditEvent)
        with self._archive.table(ERASURES) as entry:
            for line in self._erasures.lines(self._order.company, events, self._system):
                entry.write(line, rows=bool(line))
                self._meter.tell(ERASURES)

    def _write_csv(self) -> None:
        events = next(table for table in covered() if table.model is AuditEvent)
        with self._archive.table(spreadsheet.FILE, table=events.table) as entry:
            entry.write(spreadsheet.heading(events).encode())
            for reach in self._reaches:
                self._write(entry, spreadsheet.FILE, events_of_chain(events, reach), line=spreadsheet.line(events))
        if entry.rows != self._counts[events.table]:
            raise MissingRows(
                f"{spreadsheet.FILE} has {entry.rows} rows; there are {self._counts[events.table]} events."
            )

    def _write(
        self,
        entry: Entry,
        step: str,
        selection: Selection,
        *,
        line: str = AS_JSON,
        walk: Walk | None = None,
    ) -> None:
        for part, looked_at, rows in self._read(selection, line=line, linked=walk is not None):
            then = partial(walk.take, part.links) if walk and part.links else None
            entry.write(part.text, rows=part.rows, then=then)
            if walk:
                self._proofs.want(rows)
                self._erasures.want(rows)
            self._meter.took(step, rows=looked_at, size=len(part.text))
        entry.wait()

    def _read(
        self, selection: Selection, *, line: str, linked: bool
    ) -> Iterator[tuple[Part, int, Sequence[dict[str, Any]]]]:
        """Parts, how many rows were looked at for each, and in scope `subject` the rows themselves."""
        if self._order.subject is None:
            yield from ((part, part.rows, ()) for part in read(selection, line=line, linked=linked))
        else:
            for found in search(selection, self._order.subject, line=line, linked=linked):
                yield found.part, found.looked_at, found.rows

    def _seal(self, signed: dict[str, Any]) -> None:
        order, ended = self._order, self._clock()
        self._meter.tell("describing")
        context = describing.context_of(order.company, scope=order.scope, subject=order.subject, now=ended)
        facts = self._facts(signed, read_until=ended)
        self._archive.add("context.json", as_text(context))
        self._archive.add("fields.json", as_text(describing.fields()))
        self._archive.add("verify.py", Path(verify.__file__).read_text(encoding="utf-8"))
        page = describing.readme({**facts, "files": self._archive.files}, context=context, erased=self._has_erased())
        self._archive.add("README.html", page)
        self._archive.seal(facts)

    def _has_erased(self) -> bool:
        """Whether events in it are erased in part; of a whole company, each record tells of some."""
        if self._order.subject:
            return bool(self._erasures)
        return bool(records_of(self._order.company).filter(seq__lte=self._system.seq).exists())

    def _facts(self, signed: dict[str, Any], *, read_until: datetime) -> dict[str, Any]:
        """The manifest without its list of files."""
        order = self._order
        return {
            "format": FORMAT,
            "schemaVersion": SCHEMA_VERSION,
            "scope": order.scope,
            "subject": order.subject and order.subject.as_json(),
            "company": {"id": str(order.company.pk), "name": order.company.name},
            "request": {
                "jobId": order.job_id and str(order.job_id),
                "requestedAt": timestamp(order.requested_at),
                "requestedBy": order.requested_by,
            },
            "attempt": order.attempt,
            "readFrom": timestamp(self._began),
            "readUntil": timestamp(read_until),
            "checkpoint": signed,
            "workspaces": {str(reach.workspace_id): reach.name for reach in self._reaches},
            "counts": self._counts,
            "redactions": {table.table: dict(table.redact) for table in covered() if table.redact},
            "excluded": {table.table: table.reason for table in excluded()},
        }


def _file_of(table: Covered) -> str:
    return f"data/{table.table}.ndjson"
