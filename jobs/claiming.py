"""Claiming jobs, and taking back what dead processes had claimed. Two statements, each short and indexed."""

import uuid
from datetime import datetime

from django.db import connection
from django.db.models import Min

from jobs.models import Job
from jobs.registry import types_of

_CLAIM = """
    WITH due AS (
        SELECT id FROM jobs_job
        WHERE status = 'PENDING' AND queue = %(queue)s AND type = ANY(%(types)s) AND run_at <= %(now)s
        ORDER BY priority DESC, run_at, id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs_job AS job
    SET status = 'PROCESSING', attempt = attempt + 1, claim_token = %(token)s, claimed_by = %(process)s,
        started_at = now(), completed_at = NULL, cancel_requested_at = NULL, progress = 0, step = ''
    FROM due
    WHERE job.id = due.id
      AND EXISTS (SELECT FROM jobs_workerprocess WHERE id = %(process)s AND lease_expires_at > now())
    RETURNING job.id
"""

# An attempt that was lost counts: a job that kills its worker must not do so for ever.
_RESCUE = """
    WITH orphan AS (
        SELECT id FROM jobs_job AS job
        WHERE status = 'PROCESSING' AND queue = %(queue)s AND NOT EXISTS (
            SELECT FROM jobs_workerprocess AS process
            WHERE process.id = job.claimed_by AND process.lease_expires_at > now()
        )
        ORDER BY id
        LIMIT 1000
        FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs_job AS job
    SET status = CASE WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                      WHEN attempt < max_attempts THEN 'PENDING' ELSE 'FAILED' END,
        run_at = CASE WHEN attempt < max_attempts THEN %(now)s ELSE run_at END,
        completed_at = CASE WHEN cancel_requested_at IS NOT NULL OR attempt >= max_attempts THEN now() END,
        error = 'lost: the worker process died or was cut off during attempt ' || attempt,
        traceback = '', claim_token = NULL, claimed_by = NULL
    FROM orphan
    WHERE job.id = orphan.id
"""


def next_due(queue: str, *, now: datetime, until: datetime) -> datetime | None:
    """The first moment up to `until` at which a job of a queue is due that this release has a handler for."""
    ours = Job.objects.filter(queue=queue, type__in=types_of(queue))
    if ours.due(now=now).exists():
        return now
    moment: datetime | None = ours.due(now=until).aggregate(Min("run_at"))["run_at__min"]
    return moment


def claim(*, queue: str, process: uuid.UUID, now: datetime) -> Job | None:
    """Take the next due job of a queue for a process whose lease is alive; None if there is none."""
    token = uuid.uuid4()
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM, {"queue": queue, "types": types_of(queue), "process": process, "token": token, "now": now}
        )
        row = cursor.fetchone()
    if row is None:
        return None
    # A stale claimer would read the token of whoever came after it; its own is the one that it compares later.
    job = Job.objects.select_related("company").get(pk=row[0])
    job.claim_token = token
    return job


def rescue(queue: str, *, now: datetime) -> int:
    """Make the jobs of dead processes due again, or fail them after their last attempt; says how many."""
    with connection.cursor() as cursor:
        cursor.execute(_RESCUE, {"queue": queue, "now": now})
        return int(cursor.rowcount)
