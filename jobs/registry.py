"""Handlers: what runs for each type of job. A handler is one decorated function in its app's `handlers.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jobs.context import JobContext

Run = Callable[[JobContext], Any]


class UnknownJobType(LookupError):
    """No handler declares this type of job."""

    def __init__(self, job_type: str) -> None:
        super().__init__(f"No handler declares the job type {job_type!r}; there are: {', '.join(sorted(_handlers))}.")


@dataclass(frozen=True, slots=True)
class Handler:
    """A type of job: its queue, how often it is tried, and how long it pauses after each failed attempt."""

    type: str
    queue: str
    max_attempts: int
    backoff: Callable[[int], timedelta]
    run: Run


_handlers: dict[str, Handler] = {}


def exponential(*, base: float, cap: float) -> Callable[[int], timedelta]:
    """A pause that doubles with each failed attempt: `base` seconds after the first, at most `cap`."""
    return lambda failed: timedelta(seconds=min(cap, base * 2 ** (failed - 1)))


def handler(
    job_type: str,
    *,
    queue: str = "jobs",
    max_attempts: int = 3,
    backoff: Callable[[int], timedelta] = exponential(base=2, cap=300),
) -> Callable[[Run], Run]:
    """Declare the decorated function as the handler of a type of job; what it returns is the job's result (JSON)."""

    def declare(run: Run) -> Run:
        _handlers[job_type] = Handler(job_type, queue, max_attempts, backoff, run)
        return run

    return declare


def handler_of(job_type: str) -> Handler:
    """The handler of a type; raises UnknownJobType."""
    try:
        return _handlers[job_type]
    except KeyError:
        raise UnknownJobType(job_type) from None


def types_of(queue: str) -> list[str]:
    return [declared.type for declared in _handlers.values() if declared.queue == queue]
