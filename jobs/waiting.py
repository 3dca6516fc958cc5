"""What waits in the queues, and what of it stands still although nothing holds it back.

Nothing here costs more where more waits: the index is skipped through from one type, company and priority to the
next, of which the first row tells all.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from audit.ids import first_at
from jobs import registry
from jobs.models import Job, JobAttempt, Pause, Throttle
from jobs.models.job import NOBODY, Status

PATIENCE = timedelta(minutes=5)
"""For which a due job may wait before it counts as standing still."""
MOST = 100
"""Companies and priorities of each type that are looked at."""
RECENT = 2_000
"""Attempts that are looked back on, to see whether a type moves."""

KINDS = """
    kind (queue, type) AS (
        (SELECT queue, type FROM jobs_job WHERE status = 'PENDING' ORDER BY type LIMIT 1)
        UNION ALL
        SELECT following.* FROM kind CROSS JOIN LATERAL (
            SELECT queue, type FROM jobs_job AS job
            WHERE status = 'PENDING' AND job.type > kind.type ORDER BY type LIMIT 1
        ) AS following
    )
"""
"""For WITH RECURSIVE: the types of which jobs wait, and the queue of one of each."""

PLACES = f"""
    place (queue, type, company, priority, run_at, number) AS (
        SELECT kind.*, first.*, 1 FROM kind CROSS JOIN LATERAL (
            SELECT coalesce(company_id, '{NOBODY}'), priority, run_at FROM jobs_job AS job
            WHERE status = 'PENDING' AND job.type = kind.type
            ORDER BY type, coalesce(company_id, '{NOBODY}'), priority DESC, run_at, id LIMIT 1
        ) AS first
        UNION ALL
        SELECT place.queue, place.type, following.company, following.priority, following.run_at, number + 1
        FROM place CROSS JOIN LATERAL (
            (SELECT place.company AS company, priority, run_at, 1 AS after FROM jobs_job AS job
             WHERE status = 'PENDING' AND job.type = place.type
               AND coalesce(company_id, '{NOBODY}') = place.company AND job.priority < place.priority
             ORDER BY job.priority DESC, job.run_at, job.id LIMIT 1)
            UNION ALL
            (SELECT coalesce(company_id, '{NOBODY}'), priority, run_at, 2 FROM jobs_job AS job
             WHERE status = 'PENDING' AND job.type = place.type AND coalesce(company_id, '{NOBODY}') > place.company
             ORDER BY type, coalesce(company_id, '{NOBODY}'), priority DESC, run_at, id LIMIT 1)
            ORDER BY after LIMIT 1
        ) AS following
        WHERE number < {MOST}
    )
"""  # noqa: S608  all of it is written here
"""Behind KINDS: of each type, company and priority the job that is due first."""

_WAITING_LONG = f"""
    WITH RECURSIVE {KINDS}, {PLACES}
    SELECT queue, type, company, run_at FROM place WHERE run_at <= %s ORDER BY run_at
"""  # noqa: S608  all of it is written here


class Waiting(NamedTuple):
    """The longest due job of a type and a company (NOBODY for none), at one priority."""

    queue: str
    type: str
    company: UUID
    due_at: datetime


@dataclass(frozen=True, slots=True)
class StandingStill:
    """Jobs of a type have been due for five minutes, and none of them begins although nothing holds them back.

    Held back is what is paused, or at a limit of its type or company. A type of which one began within that time moves,
    however long its queue is.
    """

    queue: str
    type: str
    due_at: datetime


def oldest_due(queue: str, *, now: datetime) -> datetime | None:
    """Since when the longest due job of a queue has been due, whatever holds it back."""
    return next((each.due_at for each in _waiting_since(now) if each.queue == queue), None)


def standing_still(*, now: datetime) -> list[StandingStill]:
    """The types that stand still, and since when."""
    since = now - PATIENCE
    free: dict[str, Waiting] = {}
    for waiting in _held_back_by_nothing(_waiting_since(since), now=now):
        free.setdefault(waiting.type, waiting)
    latest = JobAttempt.objects.filter(pk__gte=first_at(since)).order_by("-pk").values("job")[:RECENT]
    moving = set(Job.objects.filter(pk__in=latest, type__in=free).values_list("type", flat=True)) if free else set()
    return [StandingStill(each.queue, each.type, each.due_at) for each in free.values() if each.type not in moving]


def _waiting_since(moment: datetime) -> list[Waiting]:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_LONG, [moment])
        return [Waiting(*row) for row in cursor.fetchall()]


def _held_back_by_nothing(waiting: list[Waiting], *, now: datetime) -> list[Waiting]:
    paused = set(Pause.objects.values_list("kind", "name"))
    of_type: Counter[Any] = Counter()
    of_company: Counter[Any] = Counter()
    for job_type, company in Job.objects.filter(status=Status.PROCESSING).values_list("type", "company"):
        of_type[job_type] += 1
        of_company[job_type, company] += 1
    types, companies = {each.type for each in waiting}, {each.company for each in waiting} | {NOBODY}
    closed = Throttle.objects.filter(type__in=types, company__in=companies, open_at__gt=now)
    shut = set(closed.values_list("type", "company"))

    def is_free(each: Waiting) -> bool:
        if (Pause.Kind.QUEUE, each.queue) in paused or (Pause.Kind.TYPE, each.type) in paused:
            return False
        if {(each.type, NOBODY), (each.type, each.company)} & shut:
            return False
        if not registry.declares(each.type):
            return True
        declared = registry.handler_of(each.type)
        most = declared.company_concurrency
        at_most = most is not None and of_company[each.type, each.company] >= most
        return of_type[each.type] < declared.concurrency and not at_most

    return [each for each in waiting if is_free(each)]
