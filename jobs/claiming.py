"""Claiming jobs, within the limits of their types."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from audit.ids import uuid7
from jobs import events, registry
from jobs.due import first_due
from jobs.lanes import AHEAD
from jobs.models import Job
from jobs.models.job import NOBODY

WINDOW, WIDEST = 10, 1_000
"""Companies of each type that one statement looks at, at first; each further one at ten times as many, up to these."""
STATEMENTS = 50
"""Of one claim at the most. Whoever has seen so many companies without finding a job leaves the rest to the next."""
FEW = 50
"""Jobs due, below which a claim looks at these alone."""
START = uuid.UUID(int=0)
"""Before every company."""

# Companies take turns: the first one behind the company that was served last and that has a job which may run. Within a
# company the highest priority comes first, then what has been due for longest. Where few jobs are due, their companies
# are all that is looked at. Otherwise companies are found by skipping through the index from one to the next, and of
# priorities whose first job is not due yet the next lower one is looked at. So the cost does not depend on how much
# waits; it grows with the companies that have only scheduled jobs, while others have a backlog.
#
# No index that begins with the queue serves this statement: where its statistics are old, Postgres would sort all that
# waits in a queue rather than skip through it.
#
# The limits of a type are kept by its row in jobs_throttle: whoever counts before another claims, and locks after it,
# finds `claims` changed and begins anew. Only for a process whose lease is alive: a stale one would take what it cannot
# keep. Rates are kept by the generic cell rate algorithm (ITU-T I.371) without tolerance: evenly spread, by the
# database's clock, which is the same for all workers.
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
    ), due (id, run_at, type, company, place) AS (
        (SELECT id, run_at, type, coalesce(company_id, %(nobody)s), 1 FROM jobs_job
         WHERE status = 'PENDING' AND run_at <= %(now)s ORDER BY run_at, id LIMIT 1)
        UNION ALL
        SELECT following.*, place + 1 FROM due CROSS JOIN LATERAL (
            SELECT id, run_at, type, coalesce(company_id, %(nobody)s) FROM jobs_job AS job
            WHERE status = 'PENDING' AND job.run_at <= %(now)s AND (job.run_at, job.id) > (due.run_at, due.id)
            ORDER BY run_at, id LIMIT 1) AS following
        WHERE place < %(few)s
    ), turn (type, company, place) AS (
        SELECT open.type, first.company, 1 FROM open CROSS JOIN LATERAL (
            SELECT coalesce(company_id, %(nobody)s) AS company FROM jobs_job AS job
            WHERE status = 'PENDING' AND job.type = open.type AND coalesce(company_id, %(nobody)s) > %(after)s
            ORDER BY job.type, coalesce(company_id, %(nobody)s) LIMIT 1) AS first
        WHERE (SELECT count(*) FROM due) = %(few)s
        UNION ALL
        SELECT turn.type, following.company, place + 1 FROM turn CROSS JOIN LATERAL (
            SELECT coalesce(company_id, %(nobody)s) AS company FROM jobs_job AS job
            WHERE status = 'PENDING' AND job.type = turn.type AND coalesce(company_id, %(nobody)s) > turn.company
            ORDER BY job.type, coalesce(company_id, %(nobody)s) LIMIT 1) AS following
        WHERE place < %(window)s
    ), seen AS (
        SELECT company AS last FROM turn WHERE place = %(window)s ORDER BY company LIMIT 1
    ), looked_at AS (
        SELECT type, company FROM turn WHERE company <= coalesce((SELECT last FROM seen), %(nobody)s)
        UNION
        SELECT type, company FROM due WHERE (SELECT count(*) FROM due) < %(few)s
    ), head AS MATERIALIZED (
        SELECT first.id, turn.type, turn.company, first.priority, first.run_at, open.claims, every, company_every,
               greatest(open.open_at, own.open_at) AS open_at
        FROM looked_at AS turn
        JOIN open ON open.type = turn.type
        LEFT JOIN running ON running.type = turn.type AND running.company = turn.company
        LEFT JOIN jobs_throttle AS own ON company_every IS NOT NULL AND own.type = turn.type
                                      AND own.company = turn.company AND own.company <> %(nobody)s
        CROSS JOIN LATERAL (
            WITH RECURSIVE level AS (
                (SELECT id, priority, run_at FROM jobs_job AS job
                 WHERE status = 'PENDING' AND job.type = turn.type AND coalesce(company_id, %(nobody)s) = turn.company
                 ORDER BY priority DESC, run_at, id LIMIT 1)
                UNION ALL
                SELECT lower.* FROM level CROSS JOIN LATERAL (
                    SELECT id, priority, run_at FROM jobs_job AS job
                    WHERE status = 'PENDING' AND job.type = turn.type
                      AND coalesce(company_id, %(nobody)s) = turn.company AND job.priority < level.priority
                    ORDER BY priority DESC, run_at, id LIMIT 1) AS lower
                WHERE level.run_at > %(now)s
            )
            SELECT * FROM level WHERE run_at <= %(now)s
        ) AS first
        WHERE (turn.company = %(nobody)s OR company_concurrency IS NULL
               OR coalesce(running.count, 0) < company_concurrency)
          AND (turn.company = %(nobody)s OR NOT %(newcomers_only)s
               OR NOT EXISTS (SELECT FROM running JOIN declared USING (type) WHERE running.company = turn.company))
          AND turn.company <> ALL (%(passed)s::uuid[])
    ), candidate AS MATERIALIZED (
        SELECT * FROM head WHERE open_at <= statement_timestamp()
        ORDER BY company <= %(after)s, company, priority DESC, run_at, id LIMIT 1
    ), alone AS MATERIALIZED (
        SELECT throttle.type, candidate.company, priority FROM jobs_throttle AS throttle
        JOIN candidate ON candidate.type = throttle.type AND candidate.claims = throttle.claims
        WHERE throttle.company = %(nobody)s
        FOR NO KEY UPDATE OF throttle
    ), locked AS MATERIALIZED (
        SELECT job.id FROM jobs_job AS job
        WHERE job.status = 'PENDING' AND job.type = (SELECT type FROM alone)
          AND coalesce(company_id, %(nobody)s) = (SELECT company FROM alone)
          AND job.priority = (SELECT priority FROM alone) AND job.run_at <= %(now)s
        ORDER BY job.run_at, job.id LIMIT 1
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
                           ELSE statement_timestamp() + every * interval '1 second' END
        FROM candidate
        WHERE throttle.type = candidate.type AND throttle.company = %(nobody)s AND EXISTS (SELECT FROM claimed)
    ), counted_for_company AS (
        INSERT INTO jobs_throttle (type, company, claims, open_at)
        SELECT type, company, 0, statement_timestamp() + company_every * interval '1 second' FROM candidate
        WHERE company_every IS NOT NULL AND company <> %(nobody)s AND EXISTS (SELECT FROM claimed)
        ON CONFLICT (type, company) DO UPDATE SET open_at = excluded.open_at
    )
    SELECT (SELECT id FROM claimed),
           (SELECT company FROM candidate),
           EXISTS (SELECT FROM alone),
           (SELECT last FROM seen),
           (SELECT min(open_at) FROM head WHERE open_at > statement_timestamp()),
           (SELECT count(*) FROM due) < %(few)s,
           (SELECT count(*) FROM declared)
               > (SELECT count(*) FROM jobs_throttle JOIN declared USING (type) WHERE company = %(nobody)s)
"""

_THROTTLES = """
    INSERT INTO jobs_throttle (type, company, claims, open_at)
    SELECT type, %(nobody)s, 0, 'epoch' FROM unnest(%(types)s::text[]) AS type ORDER BY type
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a look at a queue found: a job, or the moment at which a rate or a schedule lets one start, or neither."""

    job: Job | None = None
    opens_at: datetime | None = None


class _Look(NamedTuple):
    """What one statement found."""

    claimed: uuid.UUID | None
    chosen: uuid.UUID | None
    """The company whose turn it is."""
    alone: bool
    """Whether nobody claimed since this one had counted."""
    last: uuid.UUID | None
    """The company up to which it looked; None for all of them."""
    opens_at: datetime | None
    few: bool
    """Whether it looked at all that is due, wherever it began."""
    unprepared: bool
    """Whether a type was claimed for the first time."""


class Claimer:
    """Claims the jobs of a queue for one process; it knows whose turn was last."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self._after = START

    def claim(self, *, process: uuid.UUID, now: datetime, newcomers_only: bool = False) -> Claim:
        """Take the next due job for a process whose lease is alive.

        `newcomers_only` leaves out the companies for which a job of this queue runs already.
        """
        parameters = self._parameters(process=process, now=now) | {"newcomers_only": newcomers_only}
        opens: list[datetime] = []
        passed: list[uuid.UUID] = []
        after, turned, window = self._after, False, WINDOW
        for _ in range(STATEMENTS):
            look = _look({**parameters, "after": after, "window": window, "passed": passed})
            if look.claimed:
                self._after = look.chosen or START
                return Claim(job=_claimed(look.claimed, token=parameters["token"], process=process))
            if look.unprepared:
                with connection.cursor() as cursor:
                    cursor.execute(_THROTTLES, parameters)
                continue
            if look.chosen:
                if look.alone:  # all that is due of it is locked by somebody: the others need not wait for that
                    passed.append(look.chosen)
                continue
            opens += [look.opens_at] if look.opens_at else []
            window = min(window * 10, WIDEST)
            if look.last:
                after = look.last
            elif look.few or turned or after == START:
                break
            else:
                after, turned = START, True
        self._after = after
        opens += filter(None, [first_due(parameters["types"], until=now + AHEAD, after=now)])
        return Claim(opens_at=min(opens, default=None))

    def _parameters(self, *, process: uuid.UUID, now: datetime) -> dict[str, Any]:
        declared = [each for each in registry.handlers_in(self.queue) if registry.takes(each.type)]
        return {
            "queue": self.queue,
            "types": [each.type for each in declared],
            "concurrency": [each.concurrency for each in declared],
            "company_concurrency": [each.company_concurrency for each in declared],
            "interval": [each.interval for each in declared],
            "company_interval": [each.company_interval for each in declared],
            "process": process,
            "now": now,
            "nobody": NOBODY,
            "few": FEW,
            "token": uuid7(),
        }


def _look(parameters: dict[str, Any]) -> _Look:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, parameters)
        return _Look(*cursor.fetchone())


def _claimed(job_id: uuid.UUID, *, token: uuid.UUID, process: uuid.UUID) -> Job:
    job = Job.objects.select_related("company").get(pk=job_id)
    # A stale claimer would read the claim of whoever came after it; its own is the one that it compares later.
    job.claim_token, job.claimed_by = token, process
    events.tell("started", [job])
    return job
