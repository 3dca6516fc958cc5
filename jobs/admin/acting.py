"""What can be done to jobs in the admin, to one or to many."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from jobs.bulk import cancel, retry
from jobs.models.job import ACTIVE, ENDED, JobQuerySet, Status


@dataclass(frozen=True, slots=True)
class Act:
    """`states` are those of the jobs that it changes; `told` says it of so many."""

    name: str
    button: str
    title: str
    states: tuple[Status, ...]
    run: Callable[..., int]
    told: str
    otherwise: str

    def do(self, jobs: JobQuerySet, *, now: datetime) -> int:
        """Change those of the jobs that can be; says how many."""
        return self.run(jobs, now=now)


_LEFT = "only failed and cancelled ones can be retried, and no job whose key belongs to an active one"

RETRY = Act(
    name="retry",
    button="Retry",
    title="Retry: a fresh round of attempts",
    states=ENDED,
    run=retry,
    told="{count} jobs are due again",
    otherwise=_LEFT,
)
ONCE_MORE = Act(
    name="retry_once",
    button="Retry once",
    title="Retry: one more attempt, those before it count",
    states=ENDED,
    run=partial(retry, fresh=False),
    told="{count} jobs get one more attempt",
    otherwise=_LEFT,
)
CANCEL = Act(
    name="cancel",
    button="Cancel",
    title="Cancel: waiting ones at once, running ones are asked to stop",
    states=ACTIVE,
    run=cancel,
    told="{count} jobs were cancelled or asked to stop",
    otherwise="only those that wait or run can be cancelled",
)
ACTS = {act.name: act for act in (RETRY, ONCE_MORE, CANCEL)}
