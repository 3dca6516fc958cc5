"""Importing: events from a file, one JSON object a line, gzip or not, recorded in batches."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from django.db import transaction

from audit import cloudtrail, recording
from audit.api.events import EventIn
from audit.canonical import UncanonicalValue
from audit.drafts import Draft
from audit.models import Workspace

BATCH = 500


class UnreadableLine(Exception):
    """A line of the file is no event of its format; what stands before its batch was recorded."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")


def import_events(
    path: Path,
    *,
    workspace: Workspace,
    read: Callable[[Any], Draft],
    clock: Callable[[], datetime],
    advance: Callable[[int], object],
) -> int:
    """Record each line of a file, in order; says how many. Each batch of 500 is a transaction of its own.

    Raises UnreadableLine, OSError; `advance(n)` is told of each batch.
    """
    total = 0
    with _open(path) as file:
        lines = _drafts(file, read)
        while batch := list(islice(lines, BATCH)):
            with transaction.atomic():
                recording.record(workspace=workspace, drafts=batch, now=clock())
            total += len(batch)
            advance(len(batch))
    return total


def count_lines(path: Path) -> int:
    """How many lines there are to import."""
    with _open(path) as file:
        return sum(1 for line in file if line.strip())


def native_draft(sent: Any) -> Draft:
    """An event in HyreLog's own form, as the API takes it. Raises pydantic's ValidationError (a ValueError)."""
    return EventIn.model_validate(sent).draft({})


def recognised_draft(sent: Any) -> Draft:
    """An event of either form, told by CloudTrail's own `eventName`."""
    return cloudtrail.draft_of(sent) if "eventName" in sent else native_draft(sent)


FORMATS: dict[str, Callable[[Any], Draft]] = {"cloudtrail": cloudtrail.draft_of, "hyrelog": native_draft}


def _drafts(file: IO[bytes], read: Callable[[Any], Draft]) -> Iterator[Draft]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                draft = read(json.loads(line))
                draft.check()
            except UncanonicalValue as error:
                raise UnreadableLine(number, str(error)) from None
            except KeyError as error:
                raise UnreadableLine(number, f"the field {error} is missing") from None
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise UnreadableLine(number, str(error)) from None
            yield draft


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]
