"""data.process: counting the rows of an input, by fields."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.utils import timezone

from jobs.context import JobContext, Unrecoverable
from webhooks.processing import decoding, ndjson, table
from webhooks.processing.conditions import Row
from webhooks.processing.groups import Groups, TooManyGroups
from webhooks.processing.inflow import Inflow
from webhooks.processing.lines import Unreadable, lines
from webhooks.processing.payload import DataProcess, Source
from webhooks.requesting.request import failure, transport_of_job
from webhooks.sending.outcome import Kind
from webhooks.sending.request import Request

PROCESS: Final = "data.process"
TIMEOUT: Final = 900.0
"""Seconds for an attempt."""
DOWNLOAD_TIMEOUT: Final = 840.0
"""Seconds for the source's last byte, which comes no faster than the rows are counted."""
TOLD: Final = 10
"""Rows that could not be read, of which the result tells the line and the reason."""

Share = Callable[[], float]
"""How much of a source was read, from 0 to 1; 0 where its length is not known."""


class Tally:
    """What was counted so far."""

    def __init__(self, asked: DataProcess) -> None:
        spelled = asked.format == "csv"
        self._tests = [condition.test(spelled=spelled) for condition in asked.where]
        self._groups = Groups(asked.group_by)
        self._group_by = asked.group_by
        self._unreadable: list[Unreadable] = []
        self.read = self.matched = self.unread = 0

    def take(self, row: Row | Unreadable) -> None:
        """Count a row. Raises TooManyGroups."""
        if isinstance(row, Unreadable):
            self.unread += 1
            if self.unread <= TOLD:
                self._unreadable.append(row)
            return
        self.read += 1
        if all(test(row) for test in self._tests):
            self.matched += 1
            self._groups.count(row)

    def as_json(self) -> dict[str, Any]:
        return {
            "rowsRead": self.read,
            "rowsMatched": self.matched,
            "rowsUnreadable": self.unread,
            "unreadable": [row._asdict() for row in self._unreadable],
            "groupBy": list(self._group_by),
            "groups": self._groups.as_json(),
        }


def process(context: JobContext, asked: DataProcess) -> dict[str, Any]:
    """Count, while the input comes in.

    Raises Unrecoverable and Retryable for an input that cannot be had or read, and Stopped soon after the handler is
    told to end.
    """
    tally = Tally(asked)
    try:
        with _opened(context, asked.source) as (pieces, share):
            for row in _rows(_watched(pieces, context, share, tally), asked):
                tally.take(row)
    except TooManyGroups as error:
        raise Unrecoverable(f"groupBy: {error}; group by fewer fields, or by fields with fewer values.") from None
    except (decoding.Undecodable, table.BadHeader) as error:
        raise Unrecoverable(f"source: {error}.") from None
    return tally.as_json()


def _rows(pieces: Iterable[bytes], asked: DataProcess) -> Iterator[Row | Unreadable]:
    if asked.format == "ndjson":
        return ndjson.rows(lines(pieces))
    needed = [*(condition.field for condition in asked.where), *asked.group_by]
    return table.rows(lines(pieces), delimiter=asked.delimiter or ",", needed=needed)


def _watched(pieces: Iterable[bytes], context: JobContext, share: Share, tally: Tally) -> Iterator[bytes]:
    """The pieces; before each, the handler tells how far it is and hears whether it should end."""
    for piece in pieces:
        context.progress(share(), step=f"{tally.read + tally.unread:,} rows")
        yield piece


@contextmanager
def _opened(context: JobContext, source: Source) -> Iterator[tuple[Iterator[bytes], Share]]:
    """A source's pieces, decoded."""
    if source.url is None:
        text = (source.text or "").encode()
        starts = range(0, len(text), decoding.STEP)
        yield iter([text[start : start + decoding.STEP] for start in starts]), lambda: 0.0
        return
    request = Request(
        id=uuid.uuid4(), url=source.url, headers=source.headers, body=b"", timeout=DOWNLOAD_TIMEOUT, method="GET"
    )
    inflow = Inflow(request, open_transport=transport_of_job, look=context.check)
    with inflow:
        yield _downloaded(inflow), lambda: inflow.came / inflow.length if inflow.length else 0.0


def _downloaded(inflow: Inflow) -> Iterator[bytes]:
    """The pieces of a download, decoded. Raises Undecodable, Retryable, Unrecoverable."""
    arriving = _whole(inflow)
    first = next(arriving, None)
    if first is not None:
        pieces = _behind(first, arriving)
        yield from decoding.decoded(pieces, encoding=inflow.headers.get("content-encoding", ""))


def _whole(inflow: Inflow) -> Iterator[bytes]:
    """The pieces as they came, to the last; raises Retryable or Unrecoverable where the answer ends before it."""
    yield from inflow
    outcome = inflow.outcome
    if outcome is None or outcome.kind is not Kind.DELIVERED:
        raise failure(outcome, now=timezone.now()) if outcome else RuntimeError("A download ended without an outcome.")


def _behind(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
