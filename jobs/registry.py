"""Handlers: what runs for each type of job. A handler is one decorated function in its app's `handlers.py`."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from django.conf import settings

from jobs.apps import QUEUES
from jobs.backoff import Backoff, exponential, interval_of
from jobs.payloads import PayloadType

if TYPE_CHECKING:
    from jobs.models import Job

Died = Callable[["Job", datetime], None]
Run = TypeVar("Run", bound=Callable[..., Any])

DOUBLING = exponential(base=2, cap=300)
FOREVER = timedelta.max
"""For `keep_completed` and `keep_failed`: housekeeping never ends these rows."""


class UnknownJobType(LookupError):
    """No handler declares this type of job."""

    def __init__(self, job_type: str) -> None:
        super().__init__(f"No handler declares the job type {job_type!r}; there are: {', '.join(sorted(_handlers))}.")


class UnmatchedPattern(LookupError):
    """No type of job matches this pattern."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"No type of job matches the pattern {pattern!r}; there are: {', '.join(sorted(_handlers))}.")


@dataclass(frozen=True, slots=True)
class Handler:
    """A type of job, by all that its declaration says (see `handler`)."""

    type: str
    queue: str
    max_attempts: int
    backoff: Backoff
    own_timeout: float | None
    own_concurrency: int | None
    company_concurrency: int | None
    interval: float | None
    company_interval: float | None
    public: bool
    cancellable: bool
    retryable: bool
    owed: bool
    keep_completed: timedelta | None
    keep_failed: timedelta | None
    secrets: tuple[str, ...]
    died: Died | None
    payload_type: PayloadType | None
    function: Callable[..., Any]

    @property
    def timeout(self) -> float:
        """Seconds that one attempt may take."""
        return settings.JOB_TIMEOUT if self.own_timeout is None else self.own_timeout

    @property
    def concurrency(self) -> int:
        """Jobs of the type that run at the same time, over all workers."""
        return settings.JOB_CONCURRENCY if self.own_concurrency is None else self.own_concurrency

    def check(self, payload: dict[str, Any]) -> None:
        """Raise jobs.payloads.BadPayload for one that the handler could not take."""
        if self.payload_type:
            self.payload_type.read(payload)

    def run(self, context: Any) -> Any:
        """Call the function for a job. Raises jobs.payloads.BadPayload, and whatever the function raises."""
        if self.payload_type is None:
            return self.function(context)
        return self.function(context, self.payload_type.read(context.payload))


class BadHandler(TypeError):
    """A handler takes its context and, if it wants one, its payload: a second parameter with the payload's type."""

    def __init__(self, job_type: str, run: Callable[..., Any]) -> None:
        super().__init__(f"{run!r} is no handler for {job_type!r}: it takes {inspect.signature(run)}. {self.__doc__}")


class UnservedQueue(ValueError):
    """No worker serves this queue."""

    def __init__(self, job_type: str, queue: str) -> None:
        super().__init__(f"The handler of {job_type!r} names the queue {queue!r}; there are: {', '.join(QUEUES)}.")


_handlers: dict[str, Handler] = {}
_taken: tuple[str, ...] = ()


def handler(  # noqa: PLR0913  the declaration holds everything about a type
    job_type: str,
    *,
    queue: str = "jobs",
    max_attempts: int = 3,
    backoff: Backoff = DOUBLING,
    timeout: float | None = None,
    concurrency: int | None = None,
    company_concurrency: int | None = None,
    rate: str | None = None,
    company_rate: str | None = None,
    public: bool = False,
    cancellable: bool = False,
    retryable: bool = False,
    owed: bool = False,
    keep_completed: timedelta | None = None,
    keep_failed: timedelta | None = None,
    secrets: tuple[str, ...] = (),
    died: Died | None = None,
) -> Callable[[Run], Run]:
    """Declare the decorated function as the handler of a type of job; what it returns is the job's result (JSON).

    It takes a jobs.context.JobContext and, if it has a second parameter, the payload as that parameter's type: a
    pydantic model or a dataclass, checked when a job is enqueued and again when it runs. Raises BadHandler, BadRate,
    UnservedQueue.

    `timeout` is in seconds (JOB_TIMEOUT). `concurrency` (JOB_CONCURRENCY) and `rate` (such as "10/s") hold for the type
    over all workers, `company_concurrency` and `company_rate` for each company in it. By the API, tenants may
    create, cancel and retry jobs of a `public` type, cancel those of a `cancellable` one, and retry those of a
    `retryable` one; where requests are held against a limit, a retry would pass it by. Jobs of an `owed` type are not
    cancelled by hand: somebody else is to decide whether what they do is still wanted. `keep_completed` and
    `keep_failed` are how long ended jobs are kept (JOB_RETENTION_DAYS, JOB_RETENTION_FAILED_DAYS). `secrets` names the
    places in payloads, such as `source.headers`, that are encrypted in the row and hidden wherever it is shown.
    `died(job, now)` is called when a job has failed for good, in the transaction in which it did.
    """
    if queue not in QUEUES:
        raise UnservedQueue(job_type, queue)

    def declare(run: Run) -> Run:
        _handlers[job_type] = Handler(
            type=job_type,
            queue=queue,
            max_attempts=max_attempts,
            backoff=backoff,
            own_timeout=timeout,
            own_concurrency=concurrency,
            company_concurrency=company_concurrency,
            interval=interval_of(rate),
            company_interval=interval_of(company_rate),
            public=public,
            cancellable=public or cancellable,
            retryable=public or retryable,
            owed=owed,
            keep_completed=keep_completed,
            keep_failed=keep_failed,
            secrets=secrets,
            died=died,
            payload_type=_payload_type(job_type, run),
            function=run,
        )
        return run

    return declare


def handler_of(job_type: str) -> Handler:
    """The handler of a type; raises UnknownJobType."""
    try:
        return _handlers[job_type]
    except KeyError:
        raise UnknownJobType(job_type) from None


def declares(job_type: str) -> bool:
    """Whether there is a handler of a type."""
    return job_type in _handlers


def handlers() -> list[Handler]:
    return list(_handlers.values())


def public_types() -> list[str]:
    """The types of which tenants may create jobs."""
    return sorted(declared.type for declared in _handlers.values() if declared.public)


def handlers_in(queue: str) -> list[Handler]:
    return [declared for declared in _handlers.values() if declared.queue == queue]


def owed_types() -> list[str]:
    """The types whose jobs nobody cancels by hand."""
    return sorted(declared.type for declared in _handlers.values() if declared.owed)


def take_only(patterns: Sequence[str]) -> None:
    """Say which types this process takes, by patterns such as `email.*`; none means all. Raises UnmatchedPattern."""
    global _taken  # noqa: PLW0603  a property of the process
    for pattern in patterns:
        if not any(fnmatchcase(job_type, pattern) for job_type in _handlers):
            raise UnmatchedPattern(pattern)
    _taken = tuple(patterns)


def taken_patterns() -> tuple[str, ...]:
    """The patterns of the types that this process takes; empty for all."""
    return _taken


def takes(job_type: str) -> bool:
    """Whether this process takes jobs of a type."""
    return matches(job_type, _taken)


def matches(job_type: str, patterns: Sequence[str]) -> bool:
    """Whether whoever takes these patterns takes a type; no patterns take all."""
    return not patterns or any(fnmatchcase(job_type, pattern) for pattern in patterns)


def _payload_type(job_type: str, run: Callable[..., Any]) -> PayloadType | None:
    match list(inspect.signature(run).parameters):
        case [_]:
            return None
        case [_, payload] if payload in (hints := get_type_hints(run)):
            return PayloadType(job_type, hints[payload])
    raise BadHandler(job_type, run)
