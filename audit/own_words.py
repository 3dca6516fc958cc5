"""Texts that HyreLog's own programs wrote, marked so that no id of a person is found in them.

A tenant's ids are theirs to choose: one may be `POST`, `billing`, or the id of one of HyreLog's own rows. That such a
text stands where HyreLog keeps its own words is chance, and to replace it there would break what it means. An e-mail
address is no chance: it is found behind the mark as it is without.
"""

from collections.abc import Sequence
from typing import Any

MARK = "\0."
"""No stored text begins with it, since Postgres holds no NUL. The name of a member still ends in `.id` behind it."""


def marked(value: Any) -> Any:
    """A text, or all texts and names of members in lists and objects."""
    match value:
        case str():
            return _mark(value)
        case list():
            return [marked(item) for item in value]
        case dict():
            return {_mark(name): marked(item) for name, item in value.items()}
    return value


def names_marked(value: Any) -> Any:
    """An object, or each of a list of them, with the names of its members marked, and nothing below."""
    match value:
        case list():
            return [names_marked(item) for item in value]
        case dict():
            return {_mark(name): item for name, item in value.items()}
    return value


def at(place: Sequence[str], value: Any, mark: Any) -> Any:
    """The value with what stands at a place in it as `mark` makes it; in a list, in each of its elements."""
    if not place:
        return mark(value)
    match value:
        case list():
            return [at(place, item, mark) for item in value]
        case dict() if place[0] in value:
            return value | {place[0]: at(place[1:], value[place[0]], mark)}
    return value


def unmarked(value: Any, *, levels: int = 4) -> Any:
    """As it was; nothing is marked further within than so many levels."""
    match value:
        case str():
            return value.removeprefix(MARK)
        case list() if levels:
            return [unmarked(item, levels=levels - 1) for item in value]
        case dict() if levels:
            return {name.removeprefix(MARK): unmarked(item, levels=levels - 1) for name, item in value.items()}
    return value


def _mark(text: str) -> str:
    """Pseudonyms stay as they are: by them one sees what was erased before."""
    return text if text.startswith("erased-") else MARK + text
