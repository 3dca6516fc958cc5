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
3. **Events that they did**: the actor (of an imported CloudTrail record, or its `identity`) is about them by 2.
   - All texts and numbers in the actor are replaced, at any depth and whomever they name.
   - Its identifiers (ids, addresses, user names, ARN, principal and access key) and the ids of the subject name them in
     all of this event: as a whole text or name of a member, in capitals or small letters, and, where they have 6
     characters or more, as a word of its own within a text. So does its `name`, if it has a space or 6 characters and
     is not that of a type or a service; but it does not say what an object is about. An IP address that is replaced is
     replaced within texts, too.
   - What is replaced in an object about them is replaced in all of payload, metadata, changes and context, but for ids
     of people and ARNs, and except in an object that is about somebody or something else by its `id`, `userId`, `email`
     or the like (or by a user name, if the actor has one). What is called `name` and nothing else is replaced only at
     the top, in an object that is called a `user`, `profile` and so on, and beside something personal: a thing has a
     name, too.
   - If the target is another person (its type says user, member, customer and so on, and it has an id), payload,
     metadata and changes tell of that one: beside what names the subject, only **traces** are replaced there, which is
     what whoever acts leaves behind: IP addresses, user agents, devices and positions; and an object is about the
     person there only if its `id`, `userId` and so on, or the name that it stands under, names them.
4. **Events that somebody else did**: the actor has an id, an address or a user name, and is not about them. Who did
   what to them stays: 1 and 2 hold, but at the top of payload, metadata, changes and context no traces are replaced,
   and an object below is about them only by itself.
   - If the target is the person (about them by 2, with the type of a person or none), what is personal at the top of
     payload and changes is theirs, but for traces: somebody changed their profile. The ids of the subject name them in
     all of this event, as in 3.
5. **Events of nobody**: the actor has none of these, and the target is the person as in 4. Then 3 holds but for actors.

A target with another type than that of a person (an invoice) is not about them by its `id`, which 1 replaces.

Everything else stays: other names of members, booleans and nulls, pseudonyms, and of an event its action, its category,
its times, and its `traceId` and `target.type` unless they name the person.

**Not replaced**, as nothing tells whose it is: a person's name, phone or address in a free text or under a name that is
not listed; what others wrote about them without an identifier; their traces where the actor is somebody else, such as
`anonymous`; an id within a longer text, but for 3 to 5; an id or address of theirs that the request does not name, with
what stands in an object about it; what is hashed, encoded, encrypted or shortened; the pictures that links lead to.
Whoever asks names each identifier by which the person may be known. **Replaced too much** may be what belongs to
another person or to a thing without an id or address of its own, in an object or an event that is about them; what
names somebody who is called alike, or a thing with the same id.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from gdpr.erasures.actors import Texts, identifiers_of, is_filled, is_thing, names_of, says_who
from gdpr.erasures.personal import (
    DONE_BY,
    LISTS,
    SAYS_NAME,
    SAYS_WHO,
    SAYS_WHO_TOO,
    Kind,
    holds_a_person,
    ip_addresses,
    is_ip_address,
    is_of_a_person,
    kind,
    plain,
)
from gdpr.erasures.values import walk
from gdpr.subjects import PSEUDONYM, Subject, of_ids

_SAYING = SAYS_WHO | SAYS_WHO_TOO | SAYS_NAME
_IDS = frozenset({"id", "ids", "uid", "uuid", "guid", "arn"})
"""By which a thing says which one it is."""
_OF_TARGET = ("payload", "metadata", "changes")
_CHANGED = ("payload", "changes")
_DETAILS = (*_OF_TARGET, "context")


class Extent(Enum):
    """How much of an object is the person's: values of these kinds."""

    NOTHING = frozenset[Kind]()
    TRACES = frozenset({Kind.TRACE})
    CHANGE = frozenset({Kind.PROFILE, Kind.NAME, Kind.OWN})
    """What is known of them, but no traces: somebody else acted."""
    PROFILE = frozenset({Kind.TRACE, Kind.PROFILE})
    NAME = frozenset({Kind.TRACE, Kind.PROFILE, Kind.NAME})
    OWN = frozenset({Kind.TRACE, Kind.PROFILE, Kind.NAME, Kind.OWN})


class Place(NamedTuple):
    """What is known of where a value stands: whether numbers are ids here, and whose it is."""

    holds_ids: bool = False
    under_them: bool = False
    """Under a name that names the person."""
    extent: Extent = Extent.NOTHING
    """Of the object around it."""
    whole: bool = False
    """Every text and number is the person's here."""
    by_another: bool = False
    """At the top of what is told of something that somebody else did."""
    of_thing: bool = False
    """At the top of a target that is a thing."""


def in_row(columns: Mapping[str, Any], subject: Subject) -> dict[str, list[int]]:
    """By column of a row, the numbers of the values that are the subject's; columns without any are left out."""
    person = _Person(subject)
    return _kept({column: person.numbers(document, Place()) for column, document in columns.items()})


def in_event(columns: Mapping[str, Any], subject: Subject) -> dict[str, list[int]]:
    """The same of an event, of which `columns` has the actor, the target, the payload and so on."""
    actor, target = columns.get("actor"), columns.get("target")
    person = _Person(subject)
    did_it, of_thing = person.is_actor(actor), is_thing(target)
    by_another = not did_it and says_who(actor)
    to_them = person.is_in(target) and not of_thing
    if did_it or to_them:
        ids = [("id", one) for one in subject.actor_ids]
        person = _Person(subject, [*identifiers_of(actor), *ids], names_of(actor)) if did_it else _Person(subject, ids)
    if did_it or (to_them and not by_another):
        places = dict.fromkeys(_DETAILS, Place(extent=Extent.NAME))
        if person.is_somebody_else(target):
            places |= dict.fromkeys(_OF_TARGET, Place(extent=Extent.TRACES))
    else:
        places = dict.fromkeys(_DETAILS, Place(by_another=by_another))
        if to_them:
            places |= dict.fromkeys(_CHANGED, Place(by_another=True, extent=Extent.CHANGE))
    places |= {"actor": Place(whole=did_it), "target": Place(of_thing=of_thing)}
    found = {column: person.numbers(item, places.get(column, Place())) for column, item in columns.items()}
    return _kept(_with_addresses(columns, found) if did_it else found)


def _kept(found: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {column: numbers for column, numbers in found.items() if numbers}


def _with_addresses(columns: Mapping[str, Any], found: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The same, with the texts in which there stands, among other words, an IP address that is replaced elsewhere."""
    texts = {column: _texts(item) for column, item in columns.items()}
    gone = [texts[column].get(number, "") for column, numbers in found.items() for number in numbers]
    addresses = Texts(address for text in gone for address in ip_addresses(text))

    def within(column: str) -> Iterator[int]:
        for number, text in texts[column].items():
            if addresses.stand_in(text) and not is_ip_address(text):
                yield number

    return {column: sorted({*numbers, *within(column)}) for column, numbers in found.items()}


def _texts(document: Any) -> dict[int, str]:
    """The texts and names of a document by number."""
    walked = enumerate(walk(document, None, lambda *_: lambda _: None))
    return {number: item for number, (item, _, _) in walked if isinstance(item, str)}


class _Person:
    """The subject in one row, where further texts name them too: `known`, each with the name it stood under.

    `names` are what they are called: these name them, but say of no object whom it is about.
    """

    def __init__(self, subject: Subject, known: Sequence[tuple[str, str]] = (), names: Iterable[str] = ()) -> None:
        self._subject = subject.without_pseudonyms()
        self._telling = SAYS_WHO | SAYS_WHO_TOO if {name for name, _ in known} & SAYS_WHO_TOO else SAYS_WHO
        self._known = Texts(text for _, text in known)
        self._names = Texts(names)

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
                if self._named_in(item) or self._names.are(item):
                    return True
                if is_name or PSEUDONYM.fullmatch(item):
                    return False
                return place.whole or place.under_them or (Kind.TRACE in place.extent.value and is_ip_address(item))
        return place.whole or (place.holds_ids and self._subject.is_number(item))

    def _named_in(self, text: str) -> bool:
        return self._subject.is_named_in(text) or self._known.are(text)

    def _below(self, item: Any, place: Place) -> Callable[[str | int], Place]:
        """What is known of the places within an object or a list."""
        if isinstance(item, list):
            return lambda _: place
        holds_ids, extent, field = of_ids(item), self._extent(item, place), item.get("field")
        changed = isinstance(field, str) and kind(field) in extent.value

        def inside(name: Any) -> Place:
            return Place(
                holds_ids=holds_ids(name),
                under_them=self._named_in(name),
                extent=_inherited(extent, name),
                whole=place.whole or kind(name) in extent.value or (changed and name in ("old", "new")),
            )

        return inside

    def _extent(self, item: Mapping[str, Any], place: Place) -> Extent:
        """How much of an object is theirs."""
        extent = self._extent_of(item, place)
        return Extent.CHANGE if place.by_another and extent is Extent.OWN else extent

    def _extent_of(self, item: Mapping[str, Any], place: Place) -> Extent:
        members = [(plain(name), name, item[name]) for name in item]
        holds_ids, saying = of_ids(item), _SAYING - _IDS if place.of_thing else _SAYING
        if any(word in saying and self._says(word, value, is_id=holds_ids(name)) for word, name, value in members):
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
        return word in self._telling and is_filled(value)


def _inherited(extent: Extent, name: str) -> Extent:
    """How much is the person's of an object under a name in an object of which so much is."""
    match extent:
        case Extent.NAME if not holds_a_person(name):
            return Extent.PROFILE
        case Extent.CHANGE:
            return Extent.NOTHING
    return extent
