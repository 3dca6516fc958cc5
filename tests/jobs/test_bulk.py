"""Many jobs at once: each statement reads the page that it changes, however many there are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import bulk
from jobs.models import Job

ROWS = 20_000

_SEED = """
    INSERT INTO jobs_job (id, type, queue, payload, key, priority, status, run_at, attempt, max_attempts, lost,
        progress, step, error, traceback, created_at, completed_at)
    SELECT gen_random_uuid(), 'many', 'jobs', '{}', 'key ' || n, 0, status, now(), 1, 1, 0, 0, '', '', '', now(),
        CASE WHEN status = 'FAILED' THEN now() END
    FROM generate_series(1, %(rows)s) AS n, unnest(%(statuses)s::text[]) AS status
    WHERE status = 'PENDING' OR n <= %(dead)s
"""


@pytest.mark.django_db
def test_looking_whether_keys_are_taken_does_not_read_all_active_ones_for_each() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SEED, {"rows": ROWS, "dead": bulk.PAGE, "statuses": ["PENDING", "FAILED"]})
        cursor.execute("UPDATE jobs_job SET key = 'free ' || key WHERE status = 'FAILED' AND right(key, 1) = '7'")
        cursor.execute("ANALYZE jobs_job")
    with CaptureQueriesContext(connection) as seen:
        assert bulk.retry(Job.objects.all(), now=timezone.now()) == bulk.PAGE / 10
    looks = [query["sql"] for query in seen if query["sql"].startswith("SELECT") and "EXISTS" in query["sql"]]
    assert looks
    for look in looks:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {look}")
            (plan,) = cursor.fetchone()[0]
        assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < ROWS
