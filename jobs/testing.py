"""Running handlers in tests: in the test's own process and transaction, by the real claim and the real settling.

    job = run_job("email.send", {"to": "ada@example.com", "subject": "Hi", "text": "…"}, company=company)
    assert job.status == Job.Status.COMPLETED, job.traceback

There is no worker, no broker and no thread. What the handler raised is in the job's `error` and `traceback`.
"""

import threading
from datetime import UTC, datetime
from typing import Any, Self

from django.utils import timezone

from audit.models import Company
from jobs import running, stopping
from jobs.claiming import Claimer
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job, Throttle
from jobs.registry import handler_of
from jobs.watching import Reason, Watch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NeverClaimed(RuntimeError):
    """No worker would run this job now: its type or queue is paused, not taken by this process, or at its limit."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.type!r}, job {job.pk}: {self.__doc__}")


class WatchInTest(Watch):
    """A watch without a thread, which would see nothing of the test's transaction, and could end its process.

    It looks at the row itself whenever the handler asks, so that what the test changes is seen at once.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job, timeout=handler_of(job.type).timeout, stopping=stopping.asked)
        self._ours = threading.get_ident()

    def __enter__(self) -> Self:
        return self

    @property
    def reason(self) -> Reason | None:
        if threading.get_ident() == self._ours:  # other threads are on other connections
            self.look()
        return super().reason


def run_job(job_type: str, payload: Any, *, company: Company | None = None, attempts: int = 1) -> Job:
    """Enqueue a job and run it as `run_enqueued` does. Raises as jobs.enqueueing.enqueue does, and NeverClaimed."""
    return run_enqueued(enqueue(job_type, payload, company=company)[0], attempts=attempts)


def run_enqueued(job: Job, *, attempts: int = 1) -> Job:
    """Run a waiting job until it has ended, or its handler was called `attempts` times; the job as it is then.

    The time that it waits for (`run_at`, a retry's pause, a snooze, a rate) passes at once. Whatever is due before it
    in its queue is run before it. A handler learns of a shutdown if `jobs.stopping.ask` is called while it runs.

    Raises NeverClaimed.
    """
    claimer, lease = Claimer(job.queue), ProcessLease(queues=[job.queue])
    stopping.forget()
    try:
        now = timezone.now()
        job.refresh_from_db()
        while attempts > 0 and job.status == Job.Status.PENDING:
            now = max(now, job.run_at)
            lease.renew()
            claim = claimer.claim(process=lease.process_id, now=now)
            if claim.job:
                _run(claim.job, now=now)
                attempts -= claim.job.pk == job.pk
            elif claim.opens_at:
                now = claim.opens_at
                Throttle.objects.filter(open_at__gte=now).update(open_at=EPOCH)  # rates go by the database's clock
            else:
                raise NeverClaimed(job)
            job.refresh_from_db()
    finally:
        stopping.forget()
        lease.give_up(lease.process_id)
    return job


def _run(claimed: Job, *, now: datetime) -> None:
    running.run(claimed, watch=WatchInTest(claimed), clock=lambda: now)
