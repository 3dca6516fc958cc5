"""Retrying and cancelling by hand: one job or a million, a page at a time from the newest to the oldest.

Each page is a transaction of its own unless the caller has one, and reads on from where the one before it ended.
"""

import uuid
from collections.abc import Iterator
from datetime import datetime

from jobs import doorbell
from jobs.apps import QUEUES
from jobs.models import Job
from jobs.models.job import ACTIVE, ENDED, JobQuerySet
from jobs.registry import owed_types

PAGE = 500
"""Jobs that one transaction changes."""

Row = tuple[uuid.UUID, uuid.UUID, str, str | None]


def retry(jobs: JobQuerySet, *, now: datetime, fresh: bool = True) -> int:
    """Make dead letters and cancelled jobs due again, and ring their queues; says how many there were.

    `fresh` begins a new round of attempts; otherwise each gets one more. Of those that share a key only the newest
    begins again, and none where that key's job is active already.
    """
    count, begun = 0, set()
    for page in _pages(jobs.filter(status__in=ENDED)):
        chosen = []
        for job, *name in page:
            if name[-1] is None or tuple(name) not in begun:
                chosen.append(job)
                begun.add(tuple(name))
        count += Job.objects.filter(pk__in=chosen).retry(now=now, fresh=fresh)
    for queue in QUEUES:
        doorbell.ring_on_commit(queue)
    return count


def cancel(jobs: JobQuerySet, *, now: datetime) -> int:
    """Cancel waiting jobs at once and ask running ones to stop; says how many of both.

    Those of an `owed` type stay (jobs.registry.handler).
    """
    pages = _pages(cancellable(jobs))
    return sum(Job.objects.filter(pk__in=[job for job, *_ in page]).cancel(now=now) for page in pages)


def cancellable(jobs: JobQuerySet) -> JobQuerySet:
    """Those that `cancel` would cancel or ask."""
    return jobs.filter(status__in=ACTIVE).exclude(type__in=owed_types())


def _pages(jobs: JobQuerySet) -> Iterator[list[Row]]:
    before = uuid.UUID(int=2**128 - 1)
    while page := list(
        jobs.filter(pk__lt=before).order_by("-pk").values_list("pk", "company_id", "type", "key")[:PAGE]
    ):
        yield page
        before = page[-1][0]
