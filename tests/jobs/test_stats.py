import json
import random
from collections import Counter
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.chain import timestamp
from jobs.api import jobs as routes
from jobs.models import Job, Pause
from jobs.statistics import statistics_of
from tests.api import Api
from tests.conftest import NOON, Tenant
from tests.jobs.rows import job_in, row

STATS = "/v1/key/company/jobs/stats"
NONE = {"pending": 0, "processing": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
TYPES = ("sleep", "gdpr.export", "gone")


def command(*arguments: str) -> str:
    said = StringIO()
    call_command("stats", *arguments, stdout=said)
    return said.getvalue()


def as_json(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("--json", *arguments))
    return found


def some_jobs(seed: int, *tenants: Tenant | None) -> list[Job]:
    """Jobs at random; half of the waiting ones are not due for long."""
    lots = random.Random(seed)  # noqa: S311  no secret
    now = timezone.now()
    jobs = [
        row(
            lots.choice(tenants),
            job_type=lots.choice(TYPES),
            status=lots.choice(Job.Status.values),
            queue=lots.choice(["jobs", "exports"]),
            run_at=now + lots.choice([-1, 1]) * timedelta(seconds=lots.randint(3600, 7200)),
        )
        for _ in range(lots.randint(0, 60))
    ]
    return Job.objects.bulk_create(jobs)


def counted(jobs: list[Job]) -> dict[str, int]:
    found = Counter(job.status.lower() for job in jobs)
    return {**NONE, **found, "total": len(jobs)}


def counted_by(name: str, jobs: list[Job]) -> dict[str, dict[str, int]]:
    values = {getattr(job, name) for job in jobs}
    return {value: counted([job for job in jobs if getattr(job, name) == value]) for value in values}


def oldest(jobs: list[Job]) -> str | None:
    due = [job.run_at for job in jobs if job.status == "PENDING" and job.run_at <= timezone.now()]
    return timestamp(min(due)) if due else None


def test_without_jobs_there_is_nothing_of_everything(api: Api) -> None:
    assert api.get(STATS).json() == {**NONE, "oldestWaiting": None, "byType": {}}
    assert as_json() == {
        **NONE,
        "oldestWaiting": None,
        "oldestWaitingSeconds": None,
        "byQueue": {},
        "byType": {},
        "deadLetters": {},
        "paused": [],
    }
    assert "Nothing is due." in command()


@pytest.mark.parametrize("seed", range(8))
def test_whatever_jobs_there_are_they_are_counted(api: Api, tenant: Tenant, other_tenant: Tenant, seed: int) -> None:
    jobs = some_jobs(seed, tenant, other_tenant, None)
    own = [job for job in jobs if job.company == tenant.company]
    expected = {**counted(own), "oldestWaiting": oldest(own), "byType": counted_by("type", own)}
    assert api.get(STATS).json() == expected
    of_company = as_json("--company", str(tenant.company.id))
    assert {name: of_company[name] for name in expected} == expected
    of_all = as_json()
    assert {name: of_all[name] for name in NONE} == counted(jobs)
    assert (of_all["byQueue"], of_all["byType"]) == (counted_by("queue", jobs), counted_by("type", jobs))
    assert of_all["oldestWaiting"] == oldest(jobs)
    dead = Counter(job.type for job in jobs if job.status == "FAILED")
    assert of_all["deadLetters"] == dead


def test_a_job_that_is_not_due_does_not_wait_yet(api: Api, tenant: Tenant) -> None:
    job_in(tenant, run_at=timezone.now() + timedelta(hours=1))
    job_in(tenant, status="PROCESSING")
    answer = api.get(STATS).json()
    assert (answer["pending"], answer["oldestWaiting"]) == (1, None)
    job_in(tenant, run_at=NOON)
    assert api.get(STATS).json()["oldestWaiting"] == timestamp(NOON)


def test_statistics_are_read_in_one_statement(tenant: Tenant) -> None:
    some_jobs(1, tenant)
    with CaptureQueriesContext(connection) as statements:
        statistics_of(Job.objects.of(tenant.company), by=("type",), now=NOON)
    assert len(statements) == 1


def test_statistics_are_counted_so_often_a_minute(api: Api, other_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "STATS_A_MINUTE", 0)
    answer = api.get(STATS)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    monkeypatch.setattr(routes, "STATS_A_MINUTE", 60)
    assert other_api.get(STATS).status_code == 200


def test_the_command_shows_a_table_of_queues_and_types(tenant: Tenant) -> None:
    job_in(tenant, run_at=timezone.now() - timedelta(seconds=3661))
    for _ in range(2):
        job_in(tenant, job_type="gdpr.export", queue="exports", status="FAILED")
    Pause.objects.create(kind="queue", name="exports", reason="disk full")
    Pause.objects.create(kind="type", name="sleep")
    lines = command().splitlines()
    header, *rows = [line.split() for line in lines[: lines.index("")]]
    assert header == ["pending", "processing", "completed", "failed", "cancelled", "total", "oldest", "waits", "for"]
    by_name = {" ".join(cells[:2]): cells[2:] for cells in rows}
    assert list(by_name) == ["all jobs", "queue exports", "queue jobs", "type gdpr.export", "type sleep"]
    assert by_name["all jobs"][:6] == ["1", "0", "0", "2", "0", "3"]
    assert by_name["queue exports"] == ["0", "0", "0", "2", "0", "2", "-"]
    assert by_name["type sleep"][-1].startswith("1:01:")
    assert len({len(line) for line in lines[: lines.index("")]}) == 1
    said = "\n".join(lines[lines.index("") :])
    assert "Oldest waiting: due since " in said
    assert "Dead letters: 2 gdpr.export." in said
    assert "Paused: queue exports since " in said
    assert "(disk full)" in said
    assert "Paused: type sleep since " in said


def test_the_command_tells_programs_what_is_paused_and_for_how_long_the_oldest_waits(tenant: Tenant) -> None:
    job_in(tenant, run_at=timezone.now() - timedelta(hours=1))
    pause = Pause.objects.create(kind="type", name="sleep", reason="why")
    pause.refresh_from_db()
    said = as_json()
    assert said["paused"] == [{"kind": "type", "name": "sleep", "reason": "why", "since": timestamp(pause.paused_at)}]
    assert said["oldestWaitingSeconds"] >= 3600


@pytest.mark.parametrize("company", ["7", "nonsense", "01a201cd-45ed-7abb-9480-7c71bc1dae17"])
def test_a_company_that_is_not_there_is_refused_by_name(db: None, company: str) -> None:
    with pytest.raises(CommandError, match=f"no company '{company}'"):
        command("--company", company)


@pytest.fixture
def large(committed: None, tenant: Tenant, other_tenant: Tenant) -> Tenant:
    """A company with four thousand jobs among eighty thousand, a few of them failed and a few of another type."""
    with transaction.atomic(), connection.cursor() as cursor:
        # VACUUM calls visible to all only what is known to be on disk.
        cursor.execute("SET LOCAL synchronous_commit = on")
        cursor.execute(
            """
            INSERT INTO jobs_job (id, company_id, type, queue, payload, priority, status, run_at, attempt, max_attempts,
                progress, step, error, traceback, created_at, completed_at)
            SELECT (lpad(to_hex(n), 12, '0') || substr(md5(n::text), 1, 20))::uuid,
                CASE WHEN n %% 20 = 0 THEN %s ELSE %s END,
                CASE WHEN n %% 20000 = 0 THEN 'rare' ELSE 'sleep' END, 'jobs', '{}', 0,
                CASE WHEN n %% 20000 = 10000 THEN 'FAILED' ELSE 'COMPLETED' END, now(), 1, 3,
                1, '', '', '', now(), now()
            FROM generate_series(1, 80000) AS n
            """,
            [tenant.company.id, other_tenant.company.id],
        )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_job")
    return tenant


def plan_of(statements: CaptureQueriesContext) -> str:
    (asked,) = statements.captured_queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE) {asked['sql']}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_a_large_company_s_jobs_are_counted_by_the_index_alone(large: Tenant) -> None:
    with CaptureQueriesContext(connection) as statements:
        found = statistics_of(Job.objects.of(large.company), by=("type",), now=timezone.now()).as_json()
    assert (found["total"], found["failed"], found["byType"]["rare"]["total"]) == (4_000, 4, 4)
    plan = plan_of(statements)
    assert "Index Only Scan using job_company_type" in plan
    assert "Heap Fetches: 0" in plan


@pytest.mark.parametrize(
    ("wanted", "index"), [({"status": "FAILED"}, "job_company_status"), ({"type": "rare"}, "job_company_type")]
)
def test_what_is_rare_in_a_large_company_is_found_by_an_index(
    large: Tenant, wanted: dict[str, str], index: str
) -> None:
    with CaptureQueriesContext(connection) as statements:
        assert len(Job.objects.of(large.company).filter(**wanted).order_by("-id")[:32]) == 4
    plan = plan_of(statements)
    assert f"using {index}" in plan or f"on {index}" in plan
    assert "Removed by Filter" not in plan
