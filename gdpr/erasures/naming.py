"""Which values of a row are a person's: the definition of "erased" for whoever signs an erasure.

The person is a subject (`gdpr.subjects`). In a row that is about them these values are replaced, each of them whole,
by the pseudonym of the erasure:

1. **What names them**: every text, number and name of a member in which `gdpr.subjects` finds the subject. Afterwards
   it finds them there no more. A text in which their address stands among other words is replaced with these words.
2. **What stands beside it.** An object is about them if one of its members names them, unless another one, such as
   `id`, `userId` or `email`, says that it is about somebody or something else (`{"id": "u2", "managerId": "u1"}`); but
   if `id`, `userId`, `email`, `userName`, `name` or the like names them, it is about them in any case. Of lists only
   that of `emails` counts, and no member such as `createdBy`, which says who did something. An object that stands under
   a name that names them is about them likewise, and so is one within an object about them, unless its own members say
   otherwise. In it are replaced: texts and numbers under a name that says that they are personal
   (`gdpr.erasures.personal` lists the names), at any depth below such a name and whomever they name; and texts that are
   IP addresses. A text that itself stands under a name that names them (`{"u1": "Ada Lovelace"}`) is replaced too.
   `old` and `new` of a change go by the name in its `field`.
3. **Their event.** An event is theirs if its actor or its target is about them, as an object is by 2.
   - An actor that is about them is replaced with all texts and numbers in it, at any depth and whomever they name. That
     of an imported CloudTrail record is about them if its `identity` is.
   - The identifiers of such an actor (its id, addresses, user names, ARN, principal and access key, in it or in its
     `identity`) and the ids of the subject name the person in all of this event: as a whole text or name of a member,
     in capitals or small letters, and, where they have 6 characters or more, as a word of its own within a text.
   - What is replaced in an object about them is replaced in all of payload, metadata, changes and context, but for ids
     of people and ARNs, and except in an object that is about somebody or something else by its `id`, `userId`, `email`
     or the like (or by a user name, if the actor has one). What is called `name` and nothing else is replaced only at
     the top, in an object that is called a `user`, `profile` and so on, and beside something personal: a thing has a
     name, too.
   - If the target is another person (its type says user, member, customer and so on, and it has an id), payload,
     metadata and changes tell of that one: beside what names the subject, only that is replaced there which whoever
     acts leaves behind, which is IP addresses, user agents, devices and positions; and an object is about the person
     there only if its `id`, `userId` and so on, or the name that it stands under, names them.

Everything else stays: other names of members, booleans and nulls, pseudonyms of other erasures, and of an event its
action, its category, its times, and its `traceId` and `target.type` unless they name the person.

**Not replaced**, as nothing tells whose it is: a person's name, phone or address in a free text or under a name that is
not listed; what others wrote about them without an identifier; an id within a longer text, but for their own events;
an id or address of theirs that the request does not name, with what stands in an object about it; what is hashed,
encoded, encrypted or shortened; the pictures that links lead to. Whoever asks names each identifier by which the person
may be known. **Replaced too much** may be what belongs to another person or to a thing without an id or address of its
own, in an object or an event that is about them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from gdpr.erasures.personal import (
    DONE_BY,
    LISTS,
    SAYS_NAME,
    SAYS_WHO,
    SAYS_WHO_TOO,
    Kind,
    holds_a_person,
    is_ip_address,
    is_of_a_person,
    kind,
    plain,
)
from gdpr.erasures.values import walk
from gdpr.subjects import Subject, of_ids

SHORTEST_WITHIN = 6
"""Characters of an identifier that is looked for within the texts of their event: `u1` stands in far too many."""
_PSEUDONYM = re.compile(r"erased-[0-9a-f]{16}(?:-[0-9a-f-]+)?")
_SAYING = SAYS_WHO | SAYS_WHO_TOO | SAYS_NAME
_OF_TARGET = ("payload", "metadata", "changes")
_DETAILS = (*_OF_TARGET, "context")


class Extent(IntEnum):
    """How much of an object is the person's: what Kind of values, up to this one."""

    NOTHING = 0
    TRACES = Kind.TRACE
    PROFILE = Kind.PROFILE
    NAME = Kind.NAME
    OWN = Kind.OWN


class Place(NamedTuple):
    """What is known of where a value stands: whether numbers are ids here, and whose it is."""

    holds_ids: bool = False
    under_them: bool = False
    """Under a name that names the person."""
    extent: Extent = Extent.NOTHING
    """Of the object around it."""
    whole: bool = False
    """Every text and number is the person's here."""


def in_row(columns: Mapping[str, Any], subject: Subject) -> dict[str, list[int]]:
    """By column of a row, the numbers of the values that are the subject's; columns without any are left out."""
    person = _Person(subject)
    return _kept({column: person.numbers(document, Place()) for column, document in columns.items()})


def in_event(columns: Mapping[str, Any], subject: Subject) -> dict[str, list[int]]:
    """The same of an event, of which `columns` has the actor, the target, the payload and so on."""
    actor, target = columns.get("actor"), columns.get("target")
    person = _Person(subject)
    did_it = person.is_actor(actor)
    if not (did_it or person.is_in(target)):
        return in_row(columns, subject)
    person = _Person(subject, [*(_identifiers(actor) if did_it else ()), *(("id", one) for one in subject.actor_ids)])
    places = dict.fromkeys(_DETAILS, Place(extent=Extent.NAME))
    if person.is_somebody_else(target):
        places |= dict.fromkeys(_OF_TARGET, Place(extent=Extent.TRACES))
    places["actor"] = Place(whole=did_it)
    return _kept({column: person.numbers(item, places.get(column, Place())) for column, item in columns.items()})


def _kept(found: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {column: numbers for column, numbers in found.items() if numbers}


def _identifiers(actor: Any) -> Iterator[tuple[str, str]]:
    """The texts by which an actor says who it is, each with what it is."""
    for item in (actor, actor.get("identity")):
        for name, value in item.items() if isinstance(item, dict) else ():
            if isinstance(value, str) and value and plain(name) in SAYS_WHO | SAYS_WHO_TOO:
                yield plain(name), value


class _Person:
    """The subject in one row; `known` are further texts that name them there, each with the name it stood under."""

    def __init__(self, subject: Subject, known: Iterable[tuple[str, str]] = ()) -> None:
        self._subject = subject
        names = {name for name, _ in known}
        self._telling = SAYS_WHO | SAYS_WHO_TOO if names & SAYS_WHO_TOO else SAYS_WHO
        self._known = frozenset(text.lower() for _, text in known)
        self._within = sorted(text for text in self._known if len(text) >= SHORTEST_WITHIN)
        self._words = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, self._within))})(?![\w-])")

    def numbers(self, document: Any, place: Place) -> list[int]:
        """The numbers of the values of a document that are the person's."""
        found = enumerate(walk(document, place, self._below))
        return [number for number, (item, where, is_name) in found if self._is_theirs(item, where, is_name=is_name)]

    def is_actor(self, actor: Any) -> bool:
        return self.is_in(actor) or (isinstance(actor, dict) and self.is_in(actor.get("identity")))

    def is_in(self, item: Any) -> bool:
        """Whether an object, such as an actor or a target, is about the person."""
        return isinstance(item, dict) and self._extent(item, Place()) is Extent.OWN

    def is_somebody_else(self, target: Any) -> bool:
        """Whether a target is another person."""
        if not isinstance(target, dict) or self.is_in(target):
            return False
        return is_of_a_person(target.get("type")) and any(self._tells(plain(name), target[name]) for name in target)

    def _is_theirs(self, item: Any, place: Place, *, is_name: bool) -> bool:
        match item:
            case bool() | None:
                return False
            case str():
                if self._named_in(item):
                    return True
                if is_name or _PSEUDONYM.fullmatch(item):
                    return False
                return place.whole or place.under_them or (bool(place.extent) and is_ip_address(item))
        return place.whole or (place.holds_ids and self._subject.is_number(item))

    def _named_in(self, text: str) -> bool:
        if self._subject.is_named_in(text):
            return True
        if not self._known:
            return False
        small = text.lower()
        return small in self._known or (any(one in small for one in self._within) and bool(self._words.search(small)))

    def _below(self, item: Any, place: Place) -> Callable[[str | int], Place]:
        """What is known of the places within an object or a list."""
        if isinstance(item, list):
            return lambda _: place
        holds_ids, extent, field = of_ids(item), self._extent(item, place), item.get("field")
        changed = isinstance(field, str) and kind(field) <= extent

        def inside(name: Any) -> Place:
            whole = place.whole or (extent > Extent.NOTHING and kind(name) <= extent)
            return Place(
                holds_ids=holds_ids(name),
                under_them=self._named_in(name),
                extent=Extent.PROFILE if extent is Extent.NAME and not holds_a_person(name) else extent,
                whole=whole or (changed and name in ("old", "new")),
            )

        return inside

    def _extent(self, item: Mapping[str, Any], place: Place) -> Extent:
        """How much of an object is theirs."""
        members = [(plain(name), name, item[name]) for name in item]
        holds_ids = of_ids(item)
        if any(word in _SAYING and self._says(word, value, is_id=holds_ids(name)) for word, name, value in members):
            return Extent.OWN
        if any(self._tells(word, value) for word, _, value in members):
            return Extent.NOTHING
        mentions = any(
            self._says(word, value, is_id=holds_ids(name))
            for word, name, value in members
            if not word.endswith(DONE_BY)
        )
        if place.under_them or (mentions and place.extent is not Extent.TRACES):
            return Extent.OWN
        if place.extent is Extent.PROFILE and any(kind(name) is Kind.PROFILE for name in item):
            return Extent.NAME
        return place.extent

    def _says(self, word: str, value: Any, *, is_id: bool) -> bool:
        """Whether a member names the person."""
        match value:
            case bool() | None:
                return False
            case str():
                return self._named_in(value)
            case int() | float():
                return is_id and self._subject.is_number(value)
        return word in LISTS and isinstance(value, list) and any(self._says("", one, is_id=False) for one in value)

    def _tells(self, word: str, value: Any) -> bool:
        """Whether a member says whom or what its object is about; asked where it is not the person."""
        return word in self._telling and bool(value) and isinstance(value, (str, int, float, list))
