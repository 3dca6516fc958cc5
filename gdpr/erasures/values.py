"""The values of a JSON document by number: how an erasure says what it replaced, without saying what that was.

Each name of a member and each text, number, boolean and null has a number, from 0 on, in the order in which they stand
in the document if the members of each object are sorted by name. The value of a text column is a document of one value.
Numbers are of the document as it was just before: to repeat erasures is to repeat them in their order.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Value:
    """A value or a name in a document, with the names and the indexes that lead to it, the outermost first."""

    number: int
    value: Any
    path: tuple[str | int, ...]
    is_name: bool


def values(document: Any) -> Iterator[Value]:
    """All values and names of a document, by number; a member's name stands before its value, with the same path."""
    count = 0
    pending: list[tuple[Any, tuple[str | int, ...], bool]] = [(document, (), False)]
    while pending:
        item, path, is_name = pending.pop()
        if isinstance(item, dict):
            for name in sorted(item, reverse=True):
                pending += [(item[name], (*path, name), False), (name, (*path, name), True)]
        elif isinstance(item, list):
            pending += [(element, (*path, index), False) for index, element in reversed([*enumerate(item)])]
        else:
            yield Value(count, item, path, is_name)
            count += 1


def replace(document: Any, numbers: Collection[int], pseudonym: str) -> Any:
    """The document with the pseudonym in place of those values and names; numbers that it does not have say nothing.

    Of the names that are replaced in one object, each further one has a number behind the pseudonym, from 2 on, so that
    no member is lost.
    """
    return _Replacing(frozenset(numbers), pseudonym).of(document)


class _Replacing:
    def __init__(self, numbers: frozenset[int], pseudonym: str) -> None:
        self._numbers = numbers
        self._pseudonym = pseudonym
        self._count = 0

    def of(self, item: Any) -> Any:
        match item:
            case dict():
                return self._of_members(item)
            case list():
                return [self.of(element) for element in item]
        return self._pseudonym if self._is_replaced() else item

    def _of_members(self, item: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name in sorted(item):
            written = self._other_name(item, made) if self._is_replaced() else name
            made[written] = self.of(item[name])
        return made

    def _other_name(self, item: dict[str, Any], made: dict[str, Any]) -> str:
        name, times = self._pseudonym, 1
        while name in item or name in made:
            times += 1
            name = f"{self._pseudonym}-{times}"
        return name

    def _is_replaced(self) -> bool:
        self._count += 1
        return self._count - 1 in self._numbers
