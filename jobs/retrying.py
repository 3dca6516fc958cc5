"""Beginning again, by hand: jobs that have ended, one or many."""

from datetime import datetime

from jobs import doorbell, registry
from jobs.models.job import JobQuerySet


def retry(jobs: JobQuerySet, *, now: datetime, fresh: bool = True) -> int:
    """Make dead letters and cancelled jobs due again, and ring their queues; says how many there were.

    What `fresh` means, and how many are taken in batches, says jobs.models.job.JobQuerySet.retry.
    """
    count = jobs.retry(now=now, fresh=fresh)
    for queue in registry.queues():
        doorbell.ring_on_commit(queue)
    return count
