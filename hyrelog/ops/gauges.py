"""What the metrics tell, each with the statement that reads it.

A scrape comes every few seconds, and the tables may hold millions of rows: each statement goes by a partial index or by
the end of the primary key, and stops at a bound where many rows may match.
"""

from typing import NamedTuple

from jobs.apps import QUEUES
from jobs.models.job import NOBODY
from jobs.waiting import KINDS, PLACES

COUNTED = 10_000
"""Deliveries or jobs of a kind that are counted at the most: beyond that, how many more there are changes nothing."""
RECENT = 10_000
"""Attempts that a scrape looks back on at the most."""


class Gauge(NamedTuple):
    """`labels` name the first columns of the statement; the last one is the number."""

    name: str
    text: str
    labels: list[str]
    statement: str


# As in the indexes delivery_fresh, delivery_backlog and delivery_due.
_FRESH = "status = 'PENDING' AND NOT replay"
_BACKLOG = "next_attempt_at IS NOT NULL AND (status = 'FAILED' OR replay)"
_IN_ORDER = f"LIMIT (SELECT {COUNTED})"
"""A limit that the planner cannot read keeps it from sorting all rows, though an index has them in order."""
# An id tells when it was made, by its first 48 bits.
_FIRST_OF_FIVE_MINUTES = """
    rpad(lpad(to_hex((extract(epoch FROM now() - interval '5 minutes') * 1000)::bigint), 12, '0'), 32, '0')::uuid
"""


def _count(kind: str, condition: str, order: str) -> str:
    return f"""
        SELECT '{kind}', count(*) FROM (
            SELECT FROM webhooks_webhookdelivery WHERE {condition} ORDER BY {order} LIMIT {COUNTED}
        ) AS {kind}
    """  # noqa: S608  all of it is written here


# From one type to the next through the index job_ended, as `KINDS` goes through that of what waits.
def _dead(condition: str) -> str:
    return f"""
        WITH RECURSIVE ended (type) AS (
            (SELECT type FROM jobs_job WHERE completed_at IS NOT NULL ORDER BY type LIMIT 1)
            UNION ALL
            SELECT following.* FROM ended CROSS JOIN LATERAL (
                SELECT type FROM jobs_job
                WHERE completed_at IS NOT NULL AND type > ended.type ORDER BY type LIMIT 1
            ) AS following
        )
        SELECT type, dead.count FROM ended CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT FROM jobs_job AS job
                WHERE completed_at IS NOT NULL AND job.type = ended.type AND status = 'FAILED' AND {condition}
                ORDER BY completed_at {_IN_ORDER}
            ) AS counted
        ) AS dead
    """  # noqa: S608  all of it is written here


GAUGES = (
    Gauge(
        "hyrelog_deliveries_waiting",
        f"Deliveries that wait, counted up to {COUNTED:,}: fresh ones; retries and replays that are due, or scheduled; "
        "those held for a disabled webhook.",
        ["kind"],
        " UNION ALL ".join(
            [
                _count("fresh", _FRESH, "webhook_id, next_attempt_at, id"),
                _count("due", f"{_BACKLOG} AND next_attempt_at <= now()", "next_attempt_at"),
                _count("scheduled", f"{_BACKLOG} AND next_attempt_at > now()", "next_attempt_at"),
                _count("held", "status = 'HELD'", "webhook_id, created_at"),
            ]
        ),
    ),
    Gauge(
        "hyrelog_deliveries_sending",
        "Deliveries that a worker holds.",
        [],
        "SELECT count(*) FROM webhooks_webhookdelivery WHERE status = 'SENDING'",
    ),
    # From one webhook that has fresh deliveries to the next: the index is by webhook, and one may have a million.
    Gauge(
        "hyrelog_delivery_oldest_due_seconds",
        "For how long the longest due delivery has been due: of fresh ones, and of retries and replays.",
        ["kind"],
        f"""
        WITH RECURSIVE first AS (
            (SELECT webhook_id, next_attempt_at FROM webhooks_webhookdelivery
             WHERE {_FRESH} ORDER BY webhook_id, next_attempt_at LIMIT 1)
            UNION ALL
            SELECT following.* FROM first CROSS JOIN LATERAL (
                SELECT webhook_id, next_attempt_at FROM webhooks_webhookdelivery
                WHERE {_FRESH} AND webhook_id > first.webhook_id ORDER BY webhook_id, next_attempt_at LIMIT 1
            ) AS following
        ), oldest AS (
            SELECT 'fresh' AS kind, min(next_attempt_at) AS due FROM first
            UNION ALL
            SELECT 'due', min(next_attempt_at) FROM webhooks_webhookdelivery WHERE {_BACKLOG}
        )
        SELECT kind, coalesce(greatest(0, extract(epoch FROM now() - due)), 0) FROM oldest
        """,  # noqa: S608  all of it is written here
    ),
    Gauge(
        "hyrelog_attempts_recent",
        f"Attempts begun within the last five minutes, the latest {RECENT:,} at most, by what came of them.",
        ["outcome"],
        f"""
        SELECT outcome, count(*) FROM (
            SELECT CASE WHEN result IN ('sending', 'lost') THEN result ELSE kind END AS outcome
            FROM webhooks_webhookattempt
            WHERE id >= {_FIRST_OF_FIVE_MINUTES} ORDER BY id DESC LIMIT {RECENT}
        ) AS recent GROUP BY outcome
        """,  # noqa: S608  all of it is written here
    ),
    Gauge(
        "hyrelog_endpoints",
        "Webhooks by how they fare: healthy, failing (nothing has succeeded since the last failure), disabled.",
        ["state"],
        """
        SELECT unnest(ARRAY['healthy', 'failing', 'disabled']), unnest(ARRAY[
            count(*) FILTER (WHERE disabled_at IS NULL AND failing_since IS NULL),
            count(*) FILTER (WHERE disabled_at IS NULL AND failing_since IS NOT NULL),
            count(*) FILTER (WHERE disabled_at IS NOT NULL)
        ])
        FROM webhooks_webhook AS webhook LEFT JOIN webhooks_endpoint AS endpoint ON endpoint.webhook_id = webhook.id
        WHERE deleted_at IS NULL
        """,
    ),
    Gauge(
        "hyrelog_jobs_active",
        f"Jobs that wait (also for later) or run, by queue and type; what waits is counted up to {COUNTED:,} of each.",
        ["queue", "type", "status"],
        f"""
        WITH RECURSIVE {KINDS}
        SELECT queue, type, 'PENDING', waiting.count FROM kind CROSS JOIN LATERAL (
            SELECT count(*) FROM (
                SELECT FROM jobs_job AS job
                WHERE status = 'PENDING' AND job.type = kind.type
                ORDER BY coalesce(company_id, '{NOBODY}'), priority DESC, run_at, id {_IN_ORDER}
            ) AS counted
        ) AS waiting
        UNION ALL
        SELECT queue, type, 'PROCESSING', count(*) FROM jobs_job WHERE status = 'PROCESSING' GROUP BY queue, type
        """,  # noqa: S608  all of it is written here
    ),
    Gauge(
        "hyrelog_job_oldest_due_seconds",
        "For how long the longest due job of a queue has been due, whatever holds it back.",
        ["queue"],
        f"""
        WITH RECURSIVE {KINDS}, {PLACES}
        SELECT queue, coalesce(greatest(0, extract(epoch FROM now() - min(run_at))), 0)
        FROM unnest(ARRAY['{"', '".join(QUEUES)}']) AS queue LEFT JOIN place USING (queue) GROUP BY queue
        """,  # noqa: S608  all of it is written here
    ),
    Gauge(
        "hyrelog_job_dead_letters",
        f"Jobs that failed for good and are kept, by type; counted up to {COUNTED:,} of each.",
        ["type"],
        _dead("true"),
    ),
    Gauge(
        "hyrelog_jobs_died_recent",
        f"Jobs that failed for good within the last hour, by type; counted up to {COUNTED:,} of each.",
        ["type"],
        _dead("completed_at >= now() - interval '1 hour'"),
    ),
    Gauge(
        "hyrelog_job_attempts_recent",
        f"Attempts at jobs begun within the last five minutes, the latest {RECENT:,} at most, by what came of them.",
        ["outcome"],
        f"""
        SELECT outcome, count(*) FROM (
            SELECT outcome FROM jobs_jobattempt WHERE id >= {_FIRST_OF_FIVE_MINUTES} ORDER BY id DESC LIMIT {RECENT}
        ) AS recent GROUP BY outcome
        """,  # noqa: S608  all of it is written here
    ),
    # As `ExportRequest.objects.overdue`; but what owes an answer is few jobs, and requests are kept for ever.
    Gauge(
        "hyrelog_exports_overdue",
        "Requests for exports whose due date has passed without an archive (GDPR, Art. 12(3)).",
        [],
        f"""
        WITH owing AS (
            (SELECT id, company_id, key FROM jobs_job WHERE type = 'gdpr.export' AND status = 'PENDING' LIMIT {COUNTED})
            UNION ALL
            (SELECT id, company_id, key FROM jobs_job WHERE type = 'gdpr.export' AND status = 'PROCESSING')
            UNION ALL
            (SELECT id, company_id, key FROM jobs_job AS failed
             WHERE completed_at IS NOT NULL AND type = 'gdpr.export' AND status = 'FAILED' AND NOT EXISTS (
                SELECT FROM jobs_job AS later
                WHERE later.company_id = failed.company_id AND later.type = 'gdpr.export' AND later.id > failed.id
                    AND later.key = failed.key AND (later.status = 'COMPLETED' OR EXISTS (
                        SELECT FROM gdpr_exportarchive WHERE job_id = later.id
                    ))
             )
             ORDER BY completed_at DESC {_IN_ORDER})
        )
        SELECT count(*) FROM owing JOIN gdpr_exportrequest AS request ON request.job_id = owing.id
        WHERE request.due_at < now() AND NOT EXISTS (SELECT FROM gdpr_exportarchive WHERE job_id = owing.id)
        """,  # noqa: S608  all of it is written here
    ),
    # As `Erasure.objects.overdue`. People decide on each, and a company has a hundred open ones at most: they are few.
    Gauge(
        "hyrelog_erasures_overdue",
        "Requests for erasures whose due date has passed, neither completed nor rejected (GDPR, Art. 12(3)).",
        [],
        """
        SELECT count(*) FROM gdpr_erasure
        WHERE status IN ('REQUESTED', 'APPROVED', 'PROCESSING', 'FAILED') AND due_at < now()
        """,
    ),
    Gauge(
        "hyrelog_jobs_paused",
        "1 for each queue and each type of job that is paused.",
        ["kind", "name"],
        "SELECT kind, name, 1 FROM jobs_pause",
    ),
    Gauge(
        "hyrelog_worker_processes",
        "Worker processes with a live lease.",
        [],
        "SELECT count(*) FROM jobs_workerprocess WHERE lease_expires_at > now()",
    ),
    Gauge(
        "hyrelog_tick_age_seconds",
        "For how long each periodic task has been silent.",
        ["name"],
        "SELECT name, extract(epoch FROM now() - claimed_at) FROM jobs_tick",
    ),
)
