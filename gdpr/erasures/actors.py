"""Who did what an event tells of, and to whom, as far as that says whose the values of the event are."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gdpr.erasures.personal import SAYS_WHO, SAYS_WHO_TOO, is_of_a_person, plain
from gdpr.subjects import PSEUDONYM

SHORTEST = 6
"""Characters of an identifier that is looked for within the texts of their event, and of a name without a space that
counts as one: `u1` and `ada` stand in far too many."""
_OF_KIND = frozenset({"type", "invokedby"})
"""What an actor is, where nobody said who."""


def says_who(actor: Any) -> bool:
    """Whether an actor has an id, an address or a user name."""
    who = SAYS_WHO | SAYS_WHO_TOO
    return any(plain(name) in who and is_filled(value) for name, value in _said_by(actor))


def identifiers_of(actor: Any) -> Iterator[tuple[str, str]]:
    """The texts by which an actor says who it is, each with what it is."""
    for name, value in _said_by(actor):
        if isinstance(value, str) and value and plain(name) in SAYS_WHO | SAYS_WHO_TOO:
            yield plain(name), value


def names_of(actor: Any) -> list[str]:
    """What an actor is called, unless that is what others of its kind are called, too, as in imported records."""
    said = [(plain(name), value) for name, value in _said_by(actor) if isinstance(value, str)]
    kinds = {value for name, value in said if name in _OF_KIND}
    names = {value for name, value in said if name == "name"} - kinds
    return [name for name in names if len(name) >= SHORTEST or " " in name.strip()]


def _said_by(actor: Any) -> Iterator[tuple[str, Any]]:
    """The members of an actor and of its identity."""
    if isinstance(actor, dict):
        for item in (actor, actor.get("identity")):
            yield from item.items() if isinstance(item, dict) else ()


def is_filled(value: Any) -> bool:
    return bool(value) and isinstance(value, (str, int, float, list))


def is_thing(target: Any) -> bool:
    """Whether a target has a type, and not that of a person."""
    given = target.get("type") if isinstance(target, dict) else None
    return bool(given) and not is_of_a_person(given)


class Texts:
    """Texts that are looked for in others, in capitals or small letters; pseudonyms are not."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._whole = frozenset(text.lower() for text in texts if not PSEUDONYM.fullmatch(text.lower()))
        self._within = sorted(text for text in self._whole if len(text) >= SHORTEST)
        self._words = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, self._within))})(?![\w-])")

    def are(self, text: str) -> bool:
        """Whether a text is one of them, as a whole or with one as a word of its own."""
        return bool(self._whole) and (text.lower() in self._whole or self.stand_in(text))

    def stand_in(self, text: str) -> bool:
        """Whether one of them is a word of its own in a text."""
        small = text.lower()
        return any(one in small for one in self._within) and bool(self._words.search(small))
