"""The steps of a job, one by one, as a worker process takes them."""

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from jobs import running
from jobs.claiming import Claimer
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.testing import WatchInTest
from jobs.watching import Watch


def never() -> bool:
    return False


def claim(lease: ProcessLease, *, now: datetime, queue: str = "jobs") -> Job:
    """The next due job, claimed."""
    job = Claimer(queue).claim(process=lease.process_id, now=now).job
    assert job
    return job


def run(job: Job, *, stopping: Callable[[], bool] = never) -> bool:
    """Run a claimed job; says whether its claim still held."""
    watch = running.watch_over(job, stopping=stopping, clock=timezone.now)
    return running.run(job, watch=watch, clock=timezone.now)


def run_next(
    lease: ProcessLease,
    *,
    queue: str = "jobs",
    stopping: Callable[[], bool] = never,
    clock: Callable[[], datetime] = timezone.now,
) -> bool:
    """Claim and run the next due job; says whether there was one."""
    return running.run_next(Claimer(queue), process=lease.process_id, stopping=stopping, clock=clock)


def watch(job: Job) -> Watch:
    """One that no thread looks through."""
    return WatchInTest(job)
