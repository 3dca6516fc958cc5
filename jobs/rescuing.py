"""Taking back the jobs that dead processes had claimed."""

import logging
import uuid
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from jobs import dying, events
from jobs.models import Job
from jobs.models.job import Status

RESCUED = 500
"""Orphans that one transaction takes back."""

_ORPHANS = """
    SELECT id, claim_token FROM jobs_job AS job
    WHERE status = 'PROCESSING' AND queue = %(queue)s AND NOT EXISTS (
        SELECT FROM jobs_workerprocess AS process
        WHERE process.id = job.claimed_by AND process.lease_expires_at > now()
    )
"""
# An attempt that was lost counts: a job that kills its worker must not do so for ever.
_DIES = "(attempt >= max_attempts AND cancel_requested_at IS NULL)"

_DYING = f"{_ORPHANS} AND {_DIES} ORDER BY id"


def _rescue_of(which: str) -> str:
    return f"""
    WITH orphan AS (
        {_ORPHANS} AND {which}
        ORDER BY id
        LIMIT %(most)s
        FOR NO KEY UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE jobs_jobattempt SET outcome = 'lost', ended_at = now()
        WHERE id IN (SELECT claim_token FROM orphan)
    )
    UPDATE jobs_job AS job
    SET status = CASE WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                      WHEN {_DIES} THEN 'FAILED' ELSE 'PENDING' END,
        run_at = CASE WHEN attempt < max_attempts THEN %(now)s ELSE run_at END,
        completed_at = CASE WHEN cancel_requested_at IS NOT NULL OR {_DIES} THEN now() END,
        lost = lost + 1,
        error = 'lost: the worker process died or was cut off during attempt ' || attempt,
        traceback = '', claim_token = NULL, claimed_by = NULL
    FROM orphan
    WHERE job.id = orphan.id
    RETURNING job.id
    """  # noqa: S608  all of it is written here


_THAT_GO_ON = _rescue_of(f"NOT {_DIES}")
_ONE = _rescue_of("id = %(id)s")

_WHAT_BECAME = {Status.PENDING: "retrying", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}

logger = logging.getLogger(__name__)


def rescue(queue: str, *, now: datetime) -> int:
    """Make the jobs of dead processes due again, or fail them after their last attempt; says how many.

    Those that fail come last, each in a transaction of its own: who is told of it may lock what somebody else holds.
    """
    rescued = 0
    while batch := _take_back(_THAT_GO_ON, queue=queue, most=RESCUED, now=now):
        rescued += batch
        if batch < RESCUED:
            break
    return rescued + sum(_fail(job, queue=queue, now=now) for job in _dying(queue))


def _dying(queue: str) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_DYING, {"queue": queue})
        return [row[0] for row in cursor.fetchall()]


def _fail(job: uuid.UUID, *, queue: str, now: datetime) -> int:
    """Fail a job. One of which somebody cannot be told keeps no other from it; the next poll tries it again."""
    try:
        return _take_back(_ONE, queue=queue, id=job, most=1, now=now)
    except Exception:
        logger.exception("The job %s lost its last attempt and cannot be failed yet; the next poll tries again.", job)
        return 0


@transaction.atomic
def _take_back(statement: str, *, now: datetime, **which: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"now": now, **which})
        ids = [row[0] for row in cursor.fetchall()]
    jobs = list(Job.objects.brief().filter(pk__in=ids).order_by("pk"))
    events.tell("lost", jobs)
    for job in jobs:
        events.tell(_WHAT_BECAME[Status(job.status)], [job])
    dying.died([job for job in jobs if job.status == Status.FAILED], now=now)
    return len(ids)
