"""CSV (RFC 4180): a header line with the names of the fields, and a record for each row."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from webhooks.processing.conditions import Row
from webhooks.processing.lines import MOST, NOT_UTF8, TOO_LONG, Line, Unreadable

COLUMNS: Final = 1000


class BadHeader(ValueError):
    """The first line does not name the fields; the message says why."""


def rows(lines: Iterable[Line], *, delimiter: str, needed: Sequence[str]) -> Iterator[Row | Unreadable]:
    """The records, by the names of the header. Raises BadHeader, also where it does not name a field that is needed."""
    records = _records(lines, delimiter)
    header = _checked(next(records, None), needed)
    for line, record in records:
        if isinstance(record, str):
            yield Unreadable(line, record)
        elif len(record) != len(header):
            yield Unreadable(line, f"has {len(record):,} fields; the header has {len(header):,}")
        else:
            yield dict(zip(header, record, strict=True))


def _checked(first: tuple[int, list[str] | str] | None, needed: Sequence[str]) -> list[str]:
    if first is None:
        raise BadHeader("the input is empty; its first line must name the fields")
    line, header = first
    if isinstance(header, str):
        raise BadHeader(f"line {line}, which must name the fields, {header}")
    if len(header) > COLUMNS:
        raise BadHeader(f"line {line} names {len(header):,} fields; at most {COLUMNS:,} are allowed")
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise BadHeader(f"line {line} names the field {twice[:64]!r} twice")
    if absent := next((name for name in needed if name not in header), None):
        raise BadHeader(f"line {line} does not name the field {absent!r}")
    return header


def _records(lines: Iterable[Line], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each record, or why it cannot be read, with the number of its first line; empty lines are passed over."""
    texts = _Texts(lines)
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    while True:
        texts.begin_record()
        try:
            record: list[str] | str = next(reader)
        except StopIteration:
            return
        except _BadLine as error:
            record = str(error)
        except csv.Error as error:
            record = f"is no CSV: {str(error).partition(' - ')[0]}"
        if record:
            yield texts.first, record


class _BadLine(Exception):
    """A line in the middle of a record, or alone, cannot be read."""


class _Texts(Iterator[str]):
    """The lines as csv's reader wants them. After an error, which is raised through the reader, it goes on behind it.

    A quote that is never closed would make the rest of the input one record: its size is bounded here.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._size = 0
        self.first = 0

    def begin_record(self) -> None:
        self._size = self.first = 0

    def __next__(self) -> str:
        number, text = next(self._lines)
        self.first = self.first or number
        if text is None:
            raise _BadLine(TOO_LONG)
        self._size += len(text) + 1
        if self._size > MOST + 1:
            raise _BadLine(TOO_LONG)
        try:
            return text.decode() + "\n"
        except UnicodeDecodeError:
            raise _BadLine(NOT_UTF8) from None
