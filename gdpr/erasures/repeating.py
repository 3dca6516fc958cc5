"""What has to be erased of an event once more: decided by the event and by what lists it, without touching anything.

Numbers of values (gdpr.erasures.values) are of the document as it was just before its erasure. So they are good for a
part that stands as it was sealed, and for one that bears the erasures before them and no other; provided that these
were made in this order, and none of them once more behind the next. For any other part nobody knows which values they
mean, and all values of the part are replaced: rather too much than too little.

What was never put back is none of these, whatever erasures have replaced of each other: a part that gives the
commitment of the latest record that lists it bears all that this database has records of.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit import chain
from audit.erasing import COLUMNS, PARTS, Part
from audit.models import AuditEvent
from gdpr.erasures.values import replace, values

_PSEUDONYM = re.compile("erased-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Listing:
    """That an erasure replaced these values of an event, by column; `pseudonym` is None where nobody knows it."""

    erasure_id: str
    pseudonym: str | None
    parts: Sequence[Part]
    replaced: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record in this database of an erasure that lists a part of an event: what it replaced there, by column."""

    erasure_id: str
    record: str
    commitment: str
    replaced: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Step:
    """One erasure to be repeated on an event: what is to stand there then, and which values that replaces."""

    erasure_id: str
    values: dict[str, Any] = field(default_factory=dict)
    replaced: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps by which an event is erased again, in order; and the parts in which all values are replaced."""

    steps: Sequence[Step]
    whole: Sequence[Part]


def plan(
    event: AuditEvent,
    listings: Sequence[Listing],
    *,
    recorded: Mapping[Part, Sequence[Recorded]],
    fresh: Mapping[str, str],
) -> Plan:
    """How to repeat the erasures that list an event, in their order; without steps where all are in effect.

    `recorded` are the records in this database, in the order of the chain. `fresh` is a pseudonym for each erasure
    whose own is not known.
    """
    steps = [Step(one.erasure_id) for one in listings]
    whole = []
    for part in PARTS:
        mine = {number: one for number, one in enumerate(listings) if part in one.parts}
        if not mine:
            continue
        own = [steps[number] for number in mine]
        if _repeat(_Standing(event, part, list(mine.values()), recorded[part]), own, fresh=fresh):
            whole.append(part)
    return Plan([step for step in steps if step.values], whole)


def _repeat(part: "_Standing", steps: Sequence[Step], *, fresh: Mapping[str, str]) -> bool:
    """Add to the steps what one part needs; says whether all its values are replaced."""
    missing = part.missing()
    if not missing:
        if not part.names_latest():  # it stands as it must but for that
            part.write({}, "", steps[-1])
        return False
    whole = not part.is_known(missing)
    for one, step in zip(part.listings, steps, strict=True):
        if one not in missing or (whole and one is not missing[0] and part.is_in_effect(one)):
            continue  # nothing is left to replace
        numbers = part.all_others() if whole else one.replaced
        part.write(numbers, one.pseudonym or fresh[one.erasure_id], step)
    return whole


class _Standing:
    """A part of an event as it stands, and as the steps leave it."""

    def __init__(
        self, event: AuditEvent, part: Part, listings: Sequence[Listing], recorded: Sequence[Recorded]
    ) -> None:
        self.listings = listings
        self._recorded = recorded
        self._event, self._part = event, part
        self._columns = COLUMNS[part]
        self._documents = {column: getattr(event, column) for column in self._columns}
        self._pseudonyms = tuple(one.pseudonym for one in listings if one.pseudonym)

    def names_latest(self) -> bool:
        """Whether the part names the latest record in this database that lists it."""
        named = getattr(self._event, f"{self._part}_erased_by")
        return bool(self._recorded) and str(named) == self._recorded[-1].record

    def is_sound(self) -> bool:
        """Whether it is what the latest record of this database says that it is."""
        fresh_salt = getattr(self._event, f"{self._part}_fresh_salt")
        if self._salt or not fresh_salt or not self.names_latest():
            return False
        return bool(chain.commitment(fresh_salt, self._sealed) == self._recorded[-1].commitment)

    def missing(self) -> list[Listing]:
        """The erasures that are not in effect: all of them, where the salt is back."""
        return [one for one in self.listings if self._salt or not self.is_in_effect(one)]

    def is_in_effect(self, one: Listing) -> bool:
        """Whether the pseudonym stands where it must. Of one that nobody knows, the missing salt has to do."""
        return one.pseudonym is None or all(
            self._stands(one.pseudonym, self._documents[column]) or self._gave_way(one, column)
            for column, numbers in one.replaced.items()
            if column in self._columns and numbers
        )

    def _gave_way(self, one: Listing, column: str) -> bool:
        """Whether erasures after it have replaced its pseudonym; where nobody can know, they have.

        Otherwise the part was back, and one of these made it look sound.
        """
        mine = [n for n, record in enumerate(self._recorded) if record.erasure_id == one.erasure_id]
        if not mine or not self.is_sound():
            return False
        if any(each.is_name and _PSEUDONYM.match(str(each.value)) for each in values(self._documents[column])):
            return True  # names of members have changed, and with their order the numbers
        later = {number for record in self._recorded[mine[-1] + 1 :] for number in record.replaced.get(column, ())}
        return later.issuperset(self._recorded[mine[-1]].replaced.get(column, ()))

    def is_known(self, missing: Sequence[Listing]) -> bool:
        """Whether the documents are those of which the missing erasures have the numbers."""
        order = [one.erasure_id for one in self.listings]
        latest = {one.erasure_id: number for number, one in enumerate(self._recorded)}
        made = [order.index(erasure_id) for erasure_id in sorted(latest, key=latest.__getitem__)]
        if made != sorted(made):
            return False
        if self._salt:
            commitment = getattr(self._event, f"{self._part}_commitment")
            return bool(chain.commitment(self._salt, self._sealed) == commitment)
        return list(self.listings[len(self.listings) - len(missing) :]) == list(missing)

    def all_others(self) -> dict[str, list[int]]:
        """The numbers of all values that are no pseudonyms yet, by column."""
        found = {
            column: [each.number for each in values(document) if not self._is_pseudonym(each.value)]
            for column, document in self._documents.items()
            if document is not None
        }
        return {column: numbers for column, numbers in found.items() if numbers}

    def write(self, numbers: Mapping[str, Sequence[int]], pseudonym: str, step: Step) -> None:
        """Replace these values, and put what stands then into the erasure's step."""
        mine = {column: list(listed) for column, listed in numbers.items() if column in self._columns}
        for column, listed in mine.items():
            self._documents[column] = replace(self._documents[column], listed, pseudonym)
        for column in mine or self._columns[:1]:  # a part is erased by one of its columns
            step.values[column] = self._documents[column]
        step.replaced.update(mine)

    @property
    def _salt(self) -> str | None:
        salt: str | None = getattr(self._event, f"{self._part}_salt")
        return salt

    @property
    def _sealed(self) -> Any:
        return self._event.actor if self._part == "actor" else self._event.content

    def _stands(self, pseudonym: str, document: Any) -> bool:
        """Whether it stands in a document, or nothing that it could stand for."""
        found = [] if document is None else [each.value for each in values(document)]
        return any(isinstance(value, str) and value.startswith(pseudonym) for value in found) or all(
            self._is_pseudonym(value) for value in found
        )

    def _is_pseudonym(self, value: Any) -> bool:
        return isinstance(value, str) and value.startswith(self._pseudonyms)
