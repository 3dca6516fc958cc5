"""What a running handler is given: its job, and the ways to tell and be told."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from audit.models import Company
from jobs.models import Job

LOOK_EVERY = 1.0
"""Seconds between two looks at the row: a handler may ask as often as it likes."""


class Unrecoverable(Exception):
    """Raised by a handler for which another attempt is pointless: the job fails at once."""


class Stopped(Exception):
    """Raised by `JobContext.progress` and `hold_claim` where the handler should end: shutdown, cancelled, lost."""

    pause = timedelta(0)
    """After which the job is due again; this attempt is not counted."""


class Later(Stopped):
    """Raised by a handler that has to wait: it gives its place to other jobs, and goes on after `pause`."""

    def __init__(self, pause: timedelta) -> None:
        super().__init__()
        self.pause = pause


class JobContext:
    """A handler's view of its job."""

    def __init__(self, job: Job, *, stopping: Callable[[], bool]) -> None:
        self.job = job
        self._stopping = stopping
        self._looked_at = time.monotonic()

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

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = self.job.payload
        return payload

    def progress(self, fraction: float, *, step: str = "") -> None:
        """Tell how far the job is, from 0 to 1, and raise Stopped if it should end; at most one write a second."""
        if self._stopping():
            raise Stopped
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self.job.advance(fraction, step=step)
            if self.job.cancel_requested():
                raise Stopped

    def keep(self, result: Any, *, fraction: float) -> None:
        """Write an interim result into the row, in the caller's transaction: `job.result` of the attempt that goes on.

        Raises Stopped if the claim was taken away.
        """
        if not self.job.keep(result, fraction=fraction):
            raise Stopped

    def hold_claim(self) -> None:
        """Keep the job's row from changing until the caller's transaction ends; raises Stopped if it was taken away.

        What a handler leaves behind is written after this, in that transaction: then a stale worker leaves nothing.
        """
        held = Job.objects.select_for_update().filter(pk=self.job.pk, claim_token=self.job.claim_token)
        if not held.exists():
            raise Stopped
