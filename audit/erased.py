"""Whether what was erased stands as the chain says: the parts of events by the records, the records by the events.

A part that was erased names the record of it (audit.erasing). That record must be sound, list the event and the part,
and list the commitment that stands there now. This alone would let somebody put a row back to what it was before it was
erased, for the first time or again. So each record is also held against the events that it lists: none may be as if the
record had never been made. And each must be of an erasure that was approved (audit.approvals).
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from audit.approvals import approved_of
from audit.erasing import ERASED, PARTS, Part, erasure_of, is_record, listed_in, records_of
from audit.faults import Fault, gives, is_whole, readable
from audit.models import AuditEvent, ChainHead, Company
from audit.models.company import SYSTEM_WORKSPACE

LISTED_AT_HAND = 40_000
"""Events that the records list which are kept in memory, at some 500 bytes each: records of many erasures take turns
along a chain."""
REPEAT = "run manage.py replay_erasures"

Told = Callable[[str, Part], object]
"""`told(erasure_id, part)`: that a part of an event stands as the record of that erasure says."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What tells of a part of an event whether it was erased."""

    salt: str | None
    fresh_salt: str | None
    record_id: uuid.UUID | None

    @classmethod
    def on(cls, event: AuditEvent, part: Part) -> "Marks":
        salts = getattr(event, f"{part}_salt"), getattr(event, f"{part}_fresh_salt")
        return cls(*salts, record_id=getattr(event, f"{part}_erased_by"))

    @property
    def never_erased(self) -> bool:
        return self.salt is not None and self.fresh_salt is None and self.record_id is None

    @property
    def erased(self) -> bool:
        """What is neither this nor `never_erased` was left behind by no erasure."""
        return self.salt is None and self.fresh_salt is not None and self.record_id is not None


@dataclass(frozen=True, slots=True)
class Record:
    """What the record of an erasure says: the fresh commitments of each event that it lists, by part."""

    erasure_id: str
    commitments: Mapping[uuid.UUID, Mapping[Part, str]]

    @classmethod
    def read(cls, event: AuditEvent) -> "Record":
        """Raises ValueError where the event has not the form that `audit.erasing.erase` gives to records."""
        commitments = {uuid.UUID(listed.event_id): listed.commitments for listed in listed_in(event)}
        return cls(erasure_of(event), commitments)


class Erasures:
    """The erasures of a company, read as they are asked for: nothing is read where nothing is erased."""

    def __init__(self, company: Company, *, told: Told) -> None:
        self._company = company
        self._told = told
        self._reach = 0
        self._at_hand: dict[uuid.UUID, Record | str] = {}  # what was asked for last is the last
        self._listed = 0
        self._approved: set[str] = set()

    def ask_for_approvals(self, events: Iterable[AuditEvent]) -> None:
        """Ask, before `faults_of_record`, which erasures were approved of those that the records among events name."""
        named = set()
        for event in filter(is_record, events):
            with suppress(ValueError):
                named.add(erasure_of(event))
        self._approved = approved_of(self._company, named)

    def faults_of_part(self, event: AuditEvent, part: Part) -> Iterator[str]:
        """Why a part with marks does not stand as the record that it names says; tells of it where it does."""
        marks = Marks.on(event, part)
        if is_record(event):
            yield f"its {part} has marks of an erasure, but it is the record of one, and these are never erased"
        elif marks.salt is not None:
            yield f"its {part} has its salt and yet marks of an erasure"
        elif marks.fresh_salt is None or marks.record_id is None:
            yield f"the salt of its {part} is missing without an erasure on record"
        elif isinstance(record := self._record(marks.record_id), str):
            yield f"its {part} was erased, and event {marks.record_id}, which it names as the record of that, {record}"
        elif (listed := record.commitments.get(event.pk, {}).get(part)) is None:
            yield f"its {part} was erased, and the record that it names, event {marks.record_id}, does not list it"
        elif not gives(listed, marks.fresh_salt, getattr(event, part)):
            yield f"its {part} was altered after it was erased by request {record.erasure_id}"
        else:
            self._told(record.erasure_id, part)

    def faults_of_record(self, event: AuditEvent) -> Iterator[Fault]:
        """Of the events that a record lists, those that are as if it had never been made.

        The record itself must be sound. Marks that no erasure leaves behind are not told of here, nor those that name
        what is no record: `faults_of_part` tells.
        """
        try:
            record = Record.read(event)
        except ValueError:
            yield _fault(event, "it has not the form of an erasure's record")
            return
        if record.erasure_id not in self._approved:
            yield _fault(event, f"it records an erasure by request {record.erasure_id}, which nobody here approved")
        rows = _marked(record)
        named = {Marks.on(row, part).record_id for row in rows.values() for part in PARTS}
        seqs = self._seqs(named - {None, event.pk})
        for event_id, parts in record.commitments.items():
            row = rows.get(event_id)
            if row is None or row.company_id != self._company.pk:
                what = "does not exist" if row is None else "is another company's"
                yield _fault(event, f"it records that event {event_id} was erased, which {what}")
                continue
            for part in parts:
                marks, erased = Marks.on(row, part), f"its {part} was erased by request {record.erasure_id}"
                if marks.never_erased:
                    yield _fault(row, f"{erased}, but it is back: {REPEAT}")
                elif marks.erased and seqs.get(marks.record_id, event.seq) < event.seq:
                    yield _fault(row, f"{erased}, but it is back to what an earlier erasure left: {REPEAT}")

    def _seqs(self, record_ids: set[uuid.UUID | None]) -> dict[uuid.UUID | None, int]:
        """Where in the chain those of these events stand that are records of the company."""
        return dict(records_of(self._company).filter(pk__in=record_ids).values_list("pk", "seq"))

    def _record(self, record_id: uuid.UUID) -> Record | str:
        """As `_look_up`, which is asked again only after so many other records that there was no room for this one."""
        found = self._at_hand.pop(record_id, None)
        if found is None:
            found = self._look_up(record_id)
            self._listed += _size(found)
            while self._listed > LISTED_AT_HAND and self._at_hand:
                self._listed -= _size(self._at_hand.pop(next(iter(self._at_hand))))
        self._at_hand[record_id] = found
        return found

    def _look_up(self, record_id: uuid.UUID) -> Record | str:
        """What a record says, or why the event of this id does not count as one."""
        event = readable([record_id]).get(record_id)
        if event is None:
            return "does not exist or cannot be read"
        if not is_record(event) or (event.company_id, event.workspace_id) != (self._company.pk, self._system_id):
            return f"is no {ERASED} in the company's `system` workspace"
        if not is_whole(event):
            return "was altered"
        if not 0 < event.seq <= self._reached(event.seq):
            return "stands outside its chain"
        try:
            return Record.read(event)
        except ValueError:
            return "has not the form of one"

    @cached_property
    def _system_id(self) -> uuid.UUID | None:
        return self._company.workspaces.filter(name=SYSTEM_WORKSPACE).values_list("pk", flat=True).first()

    def _reached(self, seq: int) -> int:
        """Where the `system` chain ends, as it was last read; it is read again where `seq` lies beyond that."""
        if seq > self._reach:
            heads = ChainHead.objects.filter(workspace=self._system_id)
            self._reach = heads.values_list("seq", flat=True).first() or 0
        return self._reach


def _size(found: Record | str) -> int:
    return 1 if isinstance(found, str) else len(found.commitments)


def _marked(record: Record) -> dict[uuid.UUID, AuditEvent]:
    """The events that a record lists, with their marks but without what they say."""
    marks = (f"{part}_{mark}" for part in PARTS for mark in ("salt", "fresh_salt", "erased_by"))
    return AuditEvent.objects.only("company_id", "workspace_id", "seq", *marks).in_bulk(list(record.commitments))


def _fault(event: AuditEvent, reason: str) -> Fault:
    return Fault(str(event.workspace_id), event.seq, str(event.pk), reason)
