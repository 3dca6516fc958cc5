"""Importing: events from a file, one JSON object a line, gzip or not, recorded in batches."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

from django.db import transaction
from pydantic import ValidationError

from audit import cloudtrail, recording, strict_json
from audit.api.events import EventIn
from audit.drafts import Draft, InvalidDraft
from audit.models import Workspace
from audit.models.company import SystemWorkspaceReserved

BATCH = 500


class UnreadableLine(Exception):
    """A line of the file is no event of its format; what stands before its batch was recorded."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")


class DamagedFile(Exception):
    """A packed file that cannot be unpacked to its end; what stands before the damage may have been recorded."""

    def __init__(self, after: int, reason: object) -> None:
        super().__init__(f"the file is damaged: it cannot be unpacked beyond line {after} ({reason})")


def import_events(
    path: Path,
    *,
    workspace: Workspace,
    read: Callable[[Any], Draft],
    clock: Callable[[], datetime],
    advance: Callable[[int], object],
) -> int:
    """Record each line of a file, in order; says how many. Each batch of 500 is a transaction of its own.

    Raises UnreadableLine, DamagedFile, OSError, SystemWorkspaceReserved, ChainBusy; `advance(n)` is told of each batch
    that was recorded.
    """
    if workspace.is_system:
        raise SystemWorkspaceReserved
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
    """How many lines there are to import. Raises DamagedFile, OSError."""
    with _open(path) as file:
        return sum(1 for _ in _lines(file))


def native_draft(sent: Any) -> Draft:
    """An event in HyreLog's own form, as the API takes it. Raises InvalidDraft."""
    try:
        return EventIn.model_validate(sent).draft({})
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise InvalidDraft(path, first["msg"].removeprefix("Value error, ")) from None


def recognised_draft(sent: Any) -> Draft:
    """An event of either form, told by CloudTrail's own `eventName`."""
    return cloudtrail.draft_of(sent) if "eventName" in sent else native_draft(sent)


FORMATS: dict[str, Callable[[Any], Draft]] = {"cloudtrail": cloudtrail.draft_of, "hyrelog": native_draft}


def _drafts(file: IO[bytes], read: Callable[[Any], Draft]) -> Iterator[Draft]:
    for number, line in _lines(file):
        try:
            yield _draft(line, read)
        except RecursionError:
            raise UnreadableLine(number, "is nested too deeply") from None
        except KeyError as error:
            raise UnreadableLine(number, f"the field {error} is missing") from None
        except ValueError as error:  # InvalidDraft, and what the line's JSON breaks
            raise UnreadableLine(number, str(error)) from None


def _draft(line: bytes, read: Callable[[Any], Draft]) -> Draft:
    sent = strict_json.loads(line)
    if not isinstance(sent, dict):
        raise ValueError(f"is a JSON {type(sent).__name__}, not an object")  # noqa: TRY004  a bad value
    draft = read(sent)
    draft.check()
    return draft


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    number = 0
    try:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DamagedFile(number, error) from None


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]
