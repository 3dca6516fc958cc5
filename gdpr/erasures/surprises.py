"""Surprises in the jobs behind an erasure, told without their words: Postgres quotes the row that it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

from jobs.context import JobContext, Retryable, Snooze, Stopped, Unrecoverable
from jobs.running import SURPRISE


class Wordless(Exception):
    """Of those that pass as they are: their text is HyreLog's own, and quotes no row."""


@contextmanager
def without_words(context: JobContext) -> Iterator[None]:
    """Raise jobs.context.Retryable in place of a surprise, which tells of its type and its frames alone.

    What the job's row and its history keep is read by others, and would name the person after they were erased.
    """
    try:
        yield
    except (Stopped, Snooze, Retryable, Unrecoverable, Wordless):
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it may quote the person
        name = type(error).__name__
        context.logger.error("A surprise; it may quote the person, so only its type is told.", error=name)  # noqa: TRY400
        raise Retryable(f"{SURPRISE} ({name})").with_traceback(error.__traceback__) from None
