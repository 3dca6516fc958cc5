"""Counting rows by the values of their fields."""

import json
from collections.abc import Sequence
from typing import Any, Final

from audit.canonical import MAX_INTEGER
from audit.text import storable
from webhooks.processing.conditions import Row, find

MOST: Final = 10_000
"""Groups of one job."""
MOST_BYTES: Final = 1024**2
"""Of all groups in the result, as JSON."""

_FRAME: Final = len('{"key": [], "count": 1000000000}, ')

Part = tuple[int, Any]
"""A value with the rank of its kind: values of different kinds are in order too (null, booleans, numbers, texts)."""


class TooManyGroups(ValueError):
    """There are more groups than a result holds; the message says how many that is."""


class Groups:
    """How many rows there are of each combination of values; of none at all, where no fields are named."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        self._counts: dict[tuple[Part, ...], int] = {}
        self._bytes = 0

    def count(self, row: Row) -> None:
        """Count a row. Raises TooManyGroups."""
        if not self._fields:
            return
        key = tuple(_part(find(row, field)) for field in self._fields)
        if key not in self._counts:
            self._make_room(key)
        self._counts[key] = self._counts.get(key, 0) + 1

    def as_json(self) -> list[dict[str, Any]]:
        """The groups, the largest first; those of the same size in the order of their values."""
        ordered = sorted(self._counts.items(), key=lambda group: (-group[1], group[0]))
        return [{"key": [value for _, value in key], "count": count} for key, count in ordered]

    def _make_room(self, key: tuple[Part, ...]) -> None:
        if len(self._counts) >= MOST:
            raise TooManyGroups(f"gives more than {MOST:,} groups")
        self._bytes += _FRAME + sum(len(json.dumps(value)) + 2 for _, value in key)
        if self._bytes > MOST_BYTES:
            raise TooManyGroups(f"gives groups that take more than {MOST_BYTES:,} bytes in the result")


def _part(value: Any) -> Part:
    """A value that a result can hold. Numbers beyond those of JSON's common range (RFC 7493, 2.2) become texts."""
    match value:
        case bool():
            return 1, value
        case int() | float() if abs(value) <= MAX_INTEGER:
            return 2, value or 0
        case str() | int() | float():
            return 3, storable(str(value))
        case dict():
            return 3, "[object]"
        case list():
            return 3, "[list]"
    return 0, None  # null, and fields that are not there
