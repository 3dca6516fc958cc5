"""Jobs by the hundred thousand, made by the database in a moment, and how statements read them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

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

Plan = dict[str, Any]


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


@contextmanager
def explained() -> Iterator[list[Plan]]:
    """The plans of all statements in here, as they are carried out: each is run once more, and undone."""
    plans: list[Plan] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001
        if sql.split(None, 1)[0] in ("SELECT", "WITH", "UPDATE"):
            execute("SAVEPOINT explained", None, False, context)
            execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql, params, many, context)
            (answer,) = context["cursor"].fetchone()
            plans.append((answer if isinstance(answer, list) else json.loads(answer))[0]["Plan"])
            execute("ROLLBACK TO SAVEPOINT explained", None, False, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def rows_read(plan: Plan) -> float:
    """Rows of jobs, or entries of their indexes, that a plan's scans found, whether or not a filter kept them."""
    dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    found = [(scan["Actual Rows"] + sum(scan.get(why, 0) for why in dropped), scan) for scan in _scans(plan)]
    return float(sum(rows * scan["Actual Loops"] for rows, scan in found))


def indexes_read(plan: Plan) -> set[str]:
    """The indexes by which a plan reads jobs; a scan of the whole table goes by the name of its kind."""
    kinds = {str(scan.get("Index Name", scan["Node Type"])) for scan in _scans(plan) if scan["Actual Loops"]}
    return kinds - {"Bitmap Heap Scan"}


def _scans(plan: Plan) -> Iterator[Plan]:
    if "Scan" in plan["Node Type"] and (
        plan.get("Relation Name") == "jobs_job" or plan.get("Index Name", "").startswith(("job_", "jobs_job_"))
    ):
        yield plan
    for part in plan.get("Plans", []):
        yield from _scans(part)
