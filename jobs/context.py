"""What a running handler is given: its job, and the ways to tell and be told."""

import time
from datetime import timedelta
from functools import cached_property
from typing import Any

import structlog
from django.db.models import Max

from audit import canonical
from audit.models import Company
from audit.text import storable
from jobs.models import Job, JobLog
from jobs.models.attempt import UNCOUNTED
from jobs.models.log import Level
from jobs.sealing import unseal
from jobs.watching import LOOK_EVERY, Watch

LOG_LINES = 1_000
"""Lines that one attempt may write into its job's log."""
LOG_CHARACTERS = 2_000
"""Of one line; the rest is cut off."""


class Unrecoverable(Exception):
    """Raised by a handler for which another attempt is pointless: the job fails at once."""


class Retryable(Exception):
    """Raised by a handler for an expected failure that another attempt may mend: it is retried by the backoff.

    The text becomes the job's error, which the tenant reads. The next attempt comes after `after` seconds at the
    soonest, where the backoff would come sooner.
    """

    def __init__(self, text: str, *, after: float = 0.0) -> None:
        super().__init__(text)
        self.pause = timedelta(seconds=after)


class Stopped(Exception):
    """Raised where the handler should end: shutdown, cancelled, out of time, taken away. Let it pass."""


class Snooze(Exception):
    """Raised by a handler that has to wait: it gives its place to other jobs, and goes on after so many seconds.

    The attempt is not counted.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"snoozes for {seconds:g} s")
        self.pause = timedelta(seconds=seconds)


class JobContext:
    """A handler's view of its job."""

    def __init__(self, job: Job, *, watch: Watch) -> None:
        self.job = job
        self._watch = watch
        self._wrote_at = time.monotonic()
        self._lines: int | None = None

    @property
    def company(self) -> Company:
        """The tenant that the job runs for. Raises LookupError for a job without one."""
        if self.job.company is None:
            raise LookupError(f"job {self.job.id} of type {self.job.type} runs for no company")
        return self.job.company

    @property
    def attempt(self) -> int:
        """1 for the first attempt."""
        return self.job.attempt

    @cached_property
    def payload(self) -> dict[str, Any]:
        """As it was enqueued. Raises audit.encryption.UnreadableSecret."""
        return unseal(self.job.payload, self.job.secrets)

    @cached_property
    def logger(self) -> Any:
        """A logger of the process whose lines name the job; for operators."""
        return structlog.stdlib.get_logger("jobs").bind(job=str(self.job.id), type=self.job.type, attempt=self.attempt)

    def log(self, text: str, *, level: str = "info") -> None:
        """Write a line into the job's log, which the tenant can read; up to 1,000 for each attempt.

        Levels are `debug`, `info`, `warning` and `error`; raises ValueError for another.
        """
        level = Level(level).value
        self._lines = (self._written() if self._lines is None else self._lines) + 1
        if self._lines > LOG_LINES:
            return
        if self._lines == LOG_LINES:
            text = f"This attempt has written {LOG_LINES} lines; what it says from here on is not kept."
        kept = storable(text)[:LOG_CHARACTERS]
        company = self.job.company_id
        JobLog.objects.create(job=self.job, company_id=company, attempt=self.attempt, level=level, text=kept)

    def _written(self) -> int:
        """Lines that this attempt has in the log: some, where it was snoozed or handed back before."""
        lines = JobLog.objects.filter(job=self.job, attempt=self.attempt)
        last = self.job.history.exclude(outcome__in=UNCOUNTED).aggregate(Max("ended_at"))["ended_at__max"]
        return (lines.filter(at__gt=last) if last else lines).count()

    def should_stop(self) -> bool:
        """Whether the handler should end: the worker stops, or the job is cancelled, out of time or taken away.

        It costs next to nothing. A handler that leaves its work undone then raises Stopped, or calls `check`.
        """
        return self._watch.reason is not None

    def check(self) -> None:
        """Raise Stopped if the handler should end."""
        if self.should_stop():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Wait for so long; raises Stopped as soon as the handler should end."""
        self._watch.wait(seconds)
        self.check()

    def progress(self, fraction: float, *, step: str = "", result: Any = None) -> None:
        """Tell how far the job is, from 0 to 1, and raise Stopped if it should end; at most one write a second.

        `result` says more of what was done so far, for who looks at the job meanwhile.
        """
        now = time.monotonic()
        if now - self._wrote_at >= LOOK_EVERY:
            self._wrote_at = now
            self.job.advance(fraction, step=step, result=result)
            self._watch.look()
        self.check()

    def keep(self, result: Any, *, fraction: float) -> None:
        """Write an interim result into the row, in the caller's transaction: `job.result` of the attempt that goes on.

        Raises Stopped if the claim was taken away, audit.canonical.UncanonicalValue for what cannot be stored.
        """
        canonical.check(result, "result")
        if not self.job.keep(result, fraction=fraction):
            raise Stopped

    def hold_claim(self) -> None:
        """Keep the job's row from changing until the caller's transaction ends; raises Stopped if it was taken away.

        What a handler leaves behind is written after this, in that transaction: then a stale worker leaves nothing.
        """
        held = Job.objects.select_for_update().filter(pk=self.job.pk, claim_token=self.job.claim_token)
        if not held.exists():
            raise Stopped
