"""Claiming jobs, within the limits of their types, and taking back what dead processes had claimed."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Min

from audit.ids import uuid7
from jobs import alerting, events, registry
from jobs.models import Job, Pause
from jobs.models.job import NOBODY, Status

WINDOW = 10
"""Companies of each type that one statement looks at; the next one goes on behind them."""
STATEMENTS = 50
"""Of one claim at the most. Whoever has seen so many companies without finding a job leaves the rest to the next."""
START = uuid.UUID(int=0)
"""Before every company."""
RESCUED = 500
"""Orphans that one transaction takes back."""

# Companies take turns: the first one behind the company that was served last and that has a job which may run. Within a
# company the highest priority comes first, then what has been due for longest. Companies are found by skipping through
# the index from one to the next, and of priorities whose first job is not due yet the next lower one is looked at, so
# that the cost depends neither on how much waits nor on how much is scheduled.
#
# The limits of a type are kept by its row in jobs_throttle: whoever counts before another claims, and locks after it,
# finds `claims` changed and begins anew. Only for a process whose lease is alive: a stale one would take what it cannot
# keep. Rates are kept by the generic cell rate algorithm (ITU-T I.371) without tolerance: evenly spread.
_CLAIM = """
    WITH RECURSIVE declared AS (
        SELECT * FROM unnest(%(types)s::text[], %(concurrency)s::int[], %(company_concurrency)s::int[],
                             %(interval)s::float[], %(company_interval)s::float[])
            AS declared (type, concurrency, company_concurrency, every, company_every)
    ), running AS MATERIALIZED (
        SELECT type, coalesce(company_id, %(nobody)s) AS company, count(*) AS count
        FROM jobs_job WHERE status = 'PROCESSING' GROUP BY type, company_id
    ), open AS MATERIALIZED (
        SELECT declared.*, throttle.claims, throttle.open_at
        FROM declared JOIN jobs_throttle AS throttle ON throttle.type = declared.type AND throttle.company = %(nobody)s
        WHERE coalesce((SELECT sum(count) FROM running WHERE running.type = declared.type), 0) < concurrency
          AND NOT EXISTS (SELECT FROM jobs_pause WHERE kind = 'queue' AND name = %(queue)s
                                                    OR kind = 'type' AND name = declared.type)
          AND EXISTS (SELECT FROM jobs_workerprocess WHERE id = %(process)s AND lease_expires_at > now())
    ), turn (type, company, place) AS (
        SELECT open.type, first.company, 1 FROM open CROSS JOIN LATERAL (
            SELECT coalesce(company_id, %(nobody)s) AS company FROM jobs_job AS job
            WHERE status = 'PENDING' AND queue = %(queue)s AND job.type = open.type
              AND coalesce(company_id, %(nobody)s) > %(after)s
            ORDER BY queue, job.type, coalesce(company_id, %(nobody)s) LIMIT 1) AS first
        UNION ALL
        SELECT turn.type, following.company, place + 1 FROM turn CROSS JOIN LATERAL (
            SELECT coalesce(company_id, %(nobody)s) AS company FROM jobs_job AS job
            WHERE status = 'PENDING' AND queue = %(queue)s AND job.type = turn.type
              AND coalesce(company_id, %(nobody)s) > turn.company
            ORDER BY queue, job.type, coalesce(company_id, %(nobody)s) LIMIT 1) AS following
        WHERE place < %(window)s
    ), seen AS (
        SELECT company AS last FROM turn WHERE place = %(window)s ORDER BY company LIMIT 1
    ), head AS MATERIALIZED (
        SELECT first.id, turn.type, turn.company, first.priority, first.run_at, open.claims, every, company_every,
               greatest(open.open_at, own.open_at) AS open_at
        FROM turn
        JOIN open ON open.type = turn.type
        LEFT JOIN running ON running.type = turn.type AND running.company = turn.company
        LEFT JOIN jobs_throttle AS own ON company_every IS NOT NULL AND own.type = turn.type
                                      AND own.company = turn.company AND own.company <> %(nobody)s
        CROSS JOIN LATERAL (
            WITH RECURSIVE level AS (
                (SELECT id, priority, run_at FROM jobs_job AS job
                 WHERE status = 'PENDING' AND queue = %(queue)s AND job.type = turn.type
                   AND coalesce(company_id, %(nobody)s) = turn.company
                 ORDER BY priority DESC, run_at, id LIMIT 1)
                UNION ALL
                SELECT lower.* FROM level CROSS JOIN LATERAL (
                    SELECT id, priority, run_at FROM jobs_job AS job
                    WHERE status = 'PENDING' AND queue = %(queue)s AND job.type = turn.type
                      AND coalesce(company_id, %(nobody)s) = turn.company AND job.priority < level.priority
                    ORDER BY priority DESC, run_at, id LIMIT 1) AS lower
                WHERE level.run_at > %(now)s
            )
            SELECT * FROM level WHERE run_at <= %(now)s
        ) AS first
        WHERE turn.company <= coalesce((SELECT last FROM seen), %(nobody)s)
          AND (turn.company = %(nobody)s OR company_concurrency IS NULL
               OR coalesce(running.count, 0) < company_concurrency)
          AND (turn.company = %(nobody)s OR NOT %(newcomers_only)s
               OR NOT EXISTS (SELECT FROM running WHERE running.company = turn.company))
    ), candidate AS MATERIALIZED (
        SELECT * FROM head WHERE open_at <= %(now)s ORDER BY company, priority DESC, run_at, id LIMIT 1
    ), alone AS MATERIALIZED (
        SELECT throttle.type FROM jobs_throttle AS throttle
        JOIN candidate ON candidate.type = throttle.type AND candidate.claims = throttle.claims
        WHERE throttle.company = %(nobody)s
        FOR NO KEY UPDATE OF throttle
    ), locked AS MATERIALIZED (
        SELECT job.id FROM jobs_job AS job
        WHERE job.id = (SELECT id FROM candidate JOIN alone USING (type)) AND job.status = 'PENDING'
        FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE jobs_job AS job
        SET status = 'PROCESSING', attempt = attempt + 1, claim_token = %(token)s, claimed_by = %(process)s,
            started_at = now(), progress = 0, step = ''
        WHERE job.id = (SELECT id FROM locked)
        RETURNING job.id, job.company_id, job.attempt
    ), begun AS (
        INSERT INTO jobs_jobattempt (id, job_id, company_id, number, outcome, worker, error, traceback)
        SELECT %(token)s, claimed.id, claimed.company_id, claimed.attempt, 'running', host || ':' || pid, '', ''
        FROM claimed, jobs_workerprocess AS process WHERE process.id = %(process)s
    ), counted AS (
        UPDATE jobs_throttle AS throttle
        SET claims = throttle.claims + 1,
            open_at = CASE WHEN every IS NULL THEN throttle.open_at
                           ELSE %(now)s + every * interval '1 second' END
        FROM candidate
        WHERE throttle.type = candidate.type AND throttle.company = %(nobody)s AND EXISTS (SELECT FROM claimed)
    ), counted_for_company AS (
        INSERT INTO jobs_throttle (type, company, claims, open_at)
        SELECT type, company, 0, %(now)s + company_every * interval '1 second' FROM candidate
        WHERE company_every IS NOT NULL AND company <> %(nobody)s AND EXISTS (SELECT FROM claimed)
        ON CONFLICT (type, company) DO UPDATE SET open_at = excluded.open_at
    )
    SELECT (SELECT id FROM claimed),
           (SELECT company FROM candidate),
           (SELECT last FROM seen),
           (SELECT min(open_at) FROM head WHERE open_at > %(now)s),
           (SELECT count(*) FROM declared)
               > (SELECT count(*) FROM jobs_throttle JOIN declared USING (type) WHERE company = %(nobody)s)
"""

_THROTTLES = """
    INSERT INTO jobs_throttle (type, company, claims, open_at)
    SELECT type, %(nobody)s, 0, 'epoch' FROM unnest(%(types)s::text[]) AS type ORDER BY type
    ON CONFLICT DO NOTHING
"""

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


@dataclass(frozen=True, slots=True)
class Claim:
    """What a look at a queue found: a job, or the moment at which a rate lets the next one start, or neither."""

    job: Job | None = None
    opens_at: datetime | None = None


class Claimer:
    """Claims the jobs of a queue for one process; it knows whose turn was last."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._after = START

    def claim(self, *, process: uuid.UUID, now: datetime, newcomers_only: bool = False) -> Claim:
        """Take the next due job for a process whose lease is alive.

        `newcomers_only` leaves out the companies for which a job of any type runs already.
        """
        declared = [each for each in registry.handlers_in(self.queue) if registry.takes(each.type)]
        parameters: dict[str, Any] = {
            "queue": self.queue,
            "types": [each.type for each in declared],
            "concurrency": [each.concurrency for each in declared],
            "company_concurrency": [each.company_concurrency for each in declared],
            "interval": [each.interval for each in declared],
            "company_interval": [each.company_interval for each in declared],
            "process": process,
            "now": now,
            "nobody": NOBODY,
            "window": WINDOW,
            "newcomers_only": newcomers_only,
            "token": uuid7(),
        }
        opens: list[datetime] = []
        after, turned = self._after, False
        for _ in range(STATEMENTS):
            claimed, served, last, opens_at, unprepared = _execute(_CLAIM, {**parameters, "after": after})
            if unprepared:
                with connection.cursor() as cursor:
                    cursor.execute(_THROTTLES, parameters)
                continue
            if claimed:
                self._after = served
                return Claim(job=_claimed(claimed, token=parameters["token"], process=process))
            if served:
                continue  # somebody else was faster
            opens += [opens_at] if opens_at else []
            if last:
                after = last
            elif turned or after == START:
                break
            else:
                after, turned = START, True
        self._after = after
        return Claim(opens_at=min(opens, default=None))


def _execute(statement: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def _claimed(job_id: uuid.UUID, *, token: uuid.UUID, process: uuid.UUID) -> Job:
    job = Job.objects.select_related("company").get(pk=job_id)
    # A stale claimer would read the claim of whoever came after it; its own is the one that it compares later.
    job.claim_token, job.claimed_by = token, process
    events.tell("started", [job])
    return job


def next_due(queue: str, *, now: datetime, until: datetime) -> datetime | None:
    """The first moment up to `until` at which a job of a queue is due that this release has a handler for."""
    paused = set(Pause.objects.values_list("kind", "name"))
    if (Pause.Kind.QUEUE, queue) in paused:
        return None
    types = [each.type for each in registry.handlers_in(queue) if (Pause.Kind.TYPE, each.type) not in paused]
    ours = Job.objects.filter(queue=queue, type__in=types)
    if ours.due(now=now).exists():
        return now
    moment: datetime | None = ours.due(now=until).aggregate(Min("run_at"))["run_at__min"]
    return moment


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
    jobs = list(Job.objects.in_bulk(ids).values())
    events.tell("lost", jobs)
    for job in jobs:
        events.tell(_WHAT_BECAME[Status(job.status)], [job])
    alerting.died([job for job in jobs if job.status == Status.FAILED], now=now)
    return len(ids)
