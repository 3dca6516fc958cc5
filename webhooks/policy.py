"""Deciding what follows an attempt: a pure function of its outcome, what went before, and the clock."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from webhooks.models.delivery import Status
from webhooks.sending.outcome import Kind, Outcome

RETRY_AFTER_CAP = timedelta(hours=6)
"""A receiver may ask for more patience than the schedule has, up to this."""
JITTER_CAP = timedelta(seconds=5)
"""The most that jitter adds to a pause, so that what failed together is not retried together."""
LOST_LIMIT = 10
"""Lost attempts in a row after which a delivery is given up: something about it kills its worker."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a delivery becomes. `failures` is what the schedule counts; `disable` says why the webhook goes off."""

    status: Status
    next_attempt_at: datetime | None
    failures: int
    error: str = ""
    disable: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed delivery is tried again: pauses in seconds, one after each failure but the last."""

    schedule: tuple[float, ...]

    def decide(self, outcome: Outcome, *, failures: int, now: datetime, jitter: float) -> Verdict:
        """What follows an attempt that ended at `now` after `failures` failed ones; `jitter` is from 0 to 1."""
        if outcome.kind == Kind.DELIVERED:
            return Verdict(Status.SUCCESS, None, failures)
        failures += 1
        if outcome.status == 410:  # RFC 9110, 15.5.11: gone, and likely for good
            reason = "the endpoint answered 410 Gone"
            return Verdict(Status.FAILED, None, failures, error=outcome.error, disable=reason)
        if failures > len(self.schedule):
            return Verdict(Status.FAILED, None, failures, error=outcome.error)
        pause = timedelta(seconds=self.schedule[failures - 1])
        pause = max(pause, self._asked_for(outcome, now=now))
        pause += jitter * min(JITTER_CAP, pause / 10)
        return Verdict(Status.FAILED, now + pause, failures, error=outcome.error)

    def _asked_for(self, outcome: Outcome, *, now: datetime) -> timedelta:
        seconds = outcome.retry_after(now) or 0.0
        return timedelta(seconds=min(seconds, RETRY_AFTER_CAP.total_seconds()))
