"""Taking back the jobs that dead processes had claimed."""

from datetime import datetime

from django.db import connection, transaction

from jobs import dying, events
from jobs.models import Job
from jobs.models.job import Status

RESCUED = 500
"""Orphans that one transaction takes back."""

# An attempt that was lost counts: a job that kills its worker must not do so for ever.
_RESCUE = """
    WITH orphan AS (
        SELECT id, claim_token FROM jobs_job AS job
        WHERE status = 'PROCESSING' AND queue = %(queue)s AND NOT EXISTS (
            SELECT FROM jobs_workerprocess AS process
            WHERE process.id = job.claimed_by AND process.lease_expires_at > now()
        )
        ORDER BY id
        LIMIT %(most)s
        FOR NO KEY UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE jobs_jobattempt SET outcome = 'lost', ended_at = now()
        WHERE id IN (SELECT claim_token FROM orphan)
    )
    UPDATE jobs_job AS job
    SET status = CASE WHEN cancel_requested_at IS NOT NULL THEN 'CANCELLED'
                      WHEN attempt < max_attempts THEN 'PENDING' ELSE 'FAILED' END,
        run_at = CASE WHEN attempt < max_attempts THEN %(now)s ELSE run_at END,
        completed_at = CASE WHEN cancel_requested_at IS NOT NULL OR attempt >= max_attempts THEN now() END,
        lost = lost + 1,
        error = 'lost: the worker process died or was cut off during attempt ' || attempt,
        traceback = '', claim_token = NULL, claimed_by = NULL
    FROM orphan
    WHERE job.id = orphan.id
    RETURNING job.id
"""

_WHAT_BECAME = {Status.PENDING: "retrying", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}


def rescue(queue: str, *, now: datetime) -> int:
    """Make the jobs of dead processes due again, or fail them after their last attempt; says how many."""
    rescued = 0
    while batch := _rescue_some(queue, now=now):
        rescued += batch
        if batch < RESCUED:
            break
    return rescued


@transaction.atomic
def _rescue_some(queue: str, *, now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_RESCUE, {"queue": queue, "now": now, "most": RESCUED})
        ids = [row[0] for row in cursor.fetchall()]
    jobs = list(Job.objects.brief().in_bulk(ids).values())
    events.tell("lost", jobs)
    for job in jobs:
        events.tell(_WHAT_BECAME[Status(job.status)], [job])
    dying.died([job for job in jobs if job.status == Status.FAILED], now=now)
    return len(ids)
