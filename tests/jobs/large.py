"""Jobs by the hundred thousand, made by the database in a moment."""

from django.db import connection

from tests.plans import Tables

JOBS = Tables(names=("jobs_job",), indexes=("job_", "jobs_job_"))
COMPANIES = 5_000
ONE = "0"
EACH = f"n % {COMPANIES}"
"""Whose row the n-th is."""
DUE, LATER = "timestamptz '2026-01-31 11:00+00' + n * interval '1 ms'", "timestamptz '2026-01-31 13:00+00'"

_COMPANIES = """
    INSERT INTO audit_company (id, name, contact_email, created_at)
    SELECT md5('company ' || n)::uuid, 'company ' || n, '', now()
    FROM generate_series(0, {count} - 1) AS n
"""

_INSERT = """
    INSERT INTO jobs_job (id, company_id, type, queue, payload, priority, status, run_at, attempt, max_attempts,
        progress, step, error, traceback, created_at, completed_at, claim_token, claimed_by)
    SELECT gen_random_uuid(), md5('company ' || {company})::uuid, {type}, 'jobs', '{{}}', {priority}, '{status}',
        {due}, 0, 3, 0, '', '', '', now(), CASE WHEN '{status}' = 'COMPLETED' THEN now() END,
        CASE WHEN '{status}' = 'PROCESSING' THEN gen_random_uuid() END,
        CASE WHEN '{status}' = 'PROCESSING' THEN md5('dead')::uuid END
    FROM generate_series(1, {count}) AS n
"""


def add_companies() -> None:
    _run(_COMPANIES.format(count=COMPANIES))


def add_jobs(
    count: int,
    *,
    company: str = ONE,
    job_type: str = "'any'",
    priority: str = "0",
    due: str = DUE,
    status: str = "PENDING",
) -> None:
    """Each property but the status is an expression of `n`."""
    _run(_INSERT.format(count=count, company=company, type=job_type, priority=priority, due=due, status=status))


def analyze() -> None:
    _run("ANALYZE jobs_job")


def _run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # ANALYZE would else find their triggers pending
        cursor.execute(statement)
