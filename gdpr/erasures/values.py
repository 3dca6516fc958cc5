"""The values of a JSON document by number: how an erasure says what it replaced, without saying what that was.

Each name of a member and each text, number, boolean and null has a number, from 0 on, in the order in which they stand
in the document if the members of each object are sorted by name. The value of a text column is a document of one value.
Numbers are of the document as it was just before: to repeat erasures is to repeat them in their order.

Nothing here calls itself, so that no document is nested too deep for it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Value:
    """A value or a name in a document, with the names and the indexes that lead to it, the outermost first."""

    number: int
    value: Any
    path: tuple[str | int, ...]
    is_name: bool


def values(document: Any) -> Iterator[Value]:
    """All values and names of a document, by number; a member's name stands before its value, with the same path."""
    top: tuple[str | int, ...] = ()
    walked = walk(document, top, lambda _, path: lambda step: (*path, step))
    for number, (value, path, is_name) in enumerate(walked):
        yield Value(number, value, path, is_name)


def walk(
    document: Any, place: Place, below: Callable[[Any, Place], Callable[[str | int], Place]]
) -> Iterator[tuple[Any, Place, bool]]:
    """All values and names in the order of their numbers, each with its place, and whether it is a name.

    `place` is what is known of where the document stands. `below(item, place)` is called once for each object and list,
    and tells for each of its names or indexes the place of what stands there; the name has the place of its value.
    """
    pending: list[tuple[Any, Place, bool]] = [(document, place, False)]
    while pending:
        item, where, is_name = pending.pop()
        if isinstance(item, dict):
            inside = below(item, where)
            for name in sorted(item, reverse=True):
                here = inside(name)
                pending += [(item[name], here, False), (name, here, True)]
        elif isinstance(item, list):
            inside = below(item, where)
            pending += [(item[index], inside(index), False) for index in reversed(range(len(item)))]
        else:
            yield item, where, is_name


def replace(document: Any, numbers: Collection[int], pseudonym: str) -> Any:
    """The document with the pseudonym in place of those values and names; numbers that it does not have say nothing.

    Of the names that are replaced in one object, each further one has a number behind the pseudonym, from 2 on, and
    none gets a name that the object has already, so that no member is lost.
    """
    return _Replacing(frozenset(numbers), pseudonym).of(document)


class _Replacing:
    def __init__(self, numbers: frozenset[int], pseudonym: str) -> None:
        self._numbers = numbers
        self._pseudonym = pseudonym
        self._count = 0

    def of(self, document: Any) -> Any:
        """Fill new objects and lists in the order of the numbers."""
        made: dict[Any, Any] = {}
        pending: list[tuple[Any, Any, Any, Iterator[str] | None]] = [(made, 0, document, None)]
        while pending:
            holder, key, item, pseudonyms = pending.pop()
            if pseudonyms and self._is_replaced():
                key = next(pseudonyms)
            if isinstance(item, dict):
                inner: dict[str, Any] = {}
                holder[key] = inner
                others = self._names_beside(item)
                pending += [(inner, name, item[name], others) for name in sorted(item, reverse=True)]
            elif isinstance(item, list):
                holder[key] = elements = [None] * len(item)
                pending += [(elements, index, item[index], None) for index in reversed(range(len(item)))]
            else:
                holder[key] = self._pseudonym if self._is_replaced() else item
        return made[0]

    def _names_beside(self, item: dict[str, Any]) -> Iterator[str]:
        """Names in place of those that are replaced in an object: none twice, and none that it has."""
        name, times = self._pseudonym, 1
        while True:
            if name not in item:
                yield name
            times += 1
            name = f"{self._pseudonym}-{times}"

    def _is_replaced(self) -> bool:
        self._count += 1
        return self._count - 1 in self._numbers
