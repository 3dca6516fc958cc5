"""Retention: ended jobs end by age and state, with their attempts and logs, a small batch at a time.

Nobody waits for it: a batch is a short transaction over rows that it locks in the order of their ids, and it passes
over those that somebody else has locked. What waits or runs is never touched, however old it is, and neither is a job
that a row of another app refers to for good.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import CASCADE, Exists, OuterRef

from jobs import registry
from jobs.models import Job, Throttle
from jobs.models.job import NOBODY, JobQuerySet, Status

PAGE = 100
"""Jobs that one transaction ends at the most; each may have some thousand lines of log."""
BATCHES = 2_000
"""Transactions of one run for each type and state; the next run goes on from there."""
THROTTLES_KEPT = timedelta(days=1)

_END = """
    WITH attempts AS (DELETE FROM jobs_jobattempt WHERE job_id = ANY(%(ids)s)),
         lines AS (DELETE FROM jobs_joblog WHERE job_id = ANY(%(ids)s))
    DELETE FROM jobs_job WHERE id = ANY(%(ids)s)
"""


def prune_jobs(*, now: datetime) -> int:
    """End the jobs that ended longer ago than their type and state are kept for; says how many."""
    ended = 0
    for job_type in _types():
        for status in (Status.COMPLETED, Status.CANCELLED, Status.FAILED):
            before = _before(job_type, status, now=now)
            if before:
                ended += _prune(_old(job_type, status, before=before))
    return ended


def prune_throttles(*, now: datetime) -> int:
    """End the rows of companies whose rates have long let the next job start: no row says the same."""
    old = Throttle.objects.exclude(company=NOBODY).filter(open_at__lt=now - THROTTLES_KEPT)
    with transaction.atomic():
        ids = list(old.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)[: PAGE * PAGE])
        return Throttle.objects.filter(pk__in=ids).delete()[0]


def _types() -> Iterator[str]:
    """The types of ended jobs, from one to the next through the index, whether a handler declares them or not."""
    ended, last = Job.objects.filter(completed_at__isnull=False).order_by("type"), ""
    while following := ended.filter(type__gt=last).values_list("type", flat=True).first():
        yield following
        last = following


def _before(job_type: str, status: Status, *, now: datetime) -> datetime | None:
    """The moment from which on jobs of a type and state are kept; None where all of them are."""
    dead = status == Status.FAILED
    kept = timedelta(days=settings.JOB_RETENTION_FAILED_DAYS if dead else settings.JOB_RETENTION_DAYS)
    if registry.declares(job_type):
        handler = registry.handler_of(job_type)
        own = handler.keep_failed if dead else handler.keep_completed
        kept = kept if own is None else own
    try:
        return now - kept
    except OverflowError:  # FOREVER, or before the year 1
        return None


def _old(job_type: str, status: Status, *, before: datetime) -> JobQuerySet:
    jobs = Job.objects.filter(type=job_type, status=status, completed_at__lt=before)
    for relation in Job._meta.related_objects:  # noqa: SLF001  Django's public name for a model's options
        if relation.on_delete is not CASCADE:
            rows = relation.related_model._base_manager.filter(**{relation.field.name: OuterRef("pk")})  # noqa: SLF001
            jobs = jobs.filter(~Exists(rows))
    return jobs


def _prune(old: JobQuerySet) -> int:
    ended = 0
    for _ in range(BATCHES):
        page = list(old.order_by("completed_at").values_list("pk", flat=True)[:PAGE])
        count = _end(old.filter(pk__in=page)) if page else 0
        ended += count
        if len(page) < PAGE or count == 0:  # or others have locked all of these
            break
    return ended


@transaction.atomic
def _end(page: JobQuerySet) -> int:
    locked = list(page.order_by("pk").select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_END, {"ids": locked})
        return int(cursor.rowcount)
