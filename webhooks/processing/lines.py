"""From pieces to lines, and what is said of those that cannot be read."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

MOST: Final = 1024**2
"""Bytes of a line, and of a record that goes over several; what is longer is passed over."""
TOO_LONG: Final = f"has more than {MOST:,} bytes"
NOT_UTF8: Final = "is not UTF-8"

_MARK: Final = b"\xef\xbb\xbf"  # the byte order mark, which some programs write before all


class Line(NamedTuple):
    """A line without its end, under its number from 1 on; None for one that is too long."""

    number: int
    text: bytes | None


class Unreadable(NamedTuple):
    """A row that cannot be read: the number of the line where it begins, and the reason."""

    line: int
    reason: str


def lines(pieces: Iterable[bytes]) -> Iterator[Line]:
    """The lines of a text that comes in pieces of any size. Of a line that is too long nothing is kept."""
    number, begun, too_long = 1, bytearray(), False
    for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            too_long = too_long or len(begun) + len(end) > MOST
            yield Line(number, None if too_long else _bare(number, bytes(begun) + end))
            number, too_long = number + 1, False
            begun.clear()
        too_long = too_long or len(begun) + len(rest) > MOST
        if too_long:
            begun.clear()
        else:
            begun += rest
    if begun or too_long:
        yield Line(number, None if too_long else _bare(number, bytes(begun)))


def _bare(number: int, text: bytes) -> bytes:
    return text.removeprefix(_MARK) if number == 1 else text
