import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.utils import timezone

from audit.ids import first_at
from hyrelog.celery import QUEUES
from jobs import health, registry, rescuing, waiting
from jobs.context import JobContext, Snooze, Stopped
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.management.commands.worker_health import spoken
from jobs.models import Job, JobAttempt, Pause, Throttle, Tick, WorkerProcess
from jobs.registry import handler
from tests.conftest import Tenant, open_tenant
from tests.jobs.steps import claim, run, run_next
from tests.plans import read_by, scans
from tests.system import ROOT

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(minutes=7)


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that a test declares end with it."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))


@pytest.fixture
def worker(lease: ProcessLease) -> Iterator[ProcessLease]:
    """A worker that serves every queue, and a beat beside it."""
    worker = ProcessLease(queues=list(QUEUES))
    _ = worker.process_id
    Tick.objects.claim(name="sweep", period=60)
    yield worker
    worker.give_up(worker.process_id)


def declare(job_type: str = "test", **options: Any) -> None:
    @handler(job_type, **options)
    def handle(context: JobContext) -> None:
        match context.payload.get("do"):
            case "fail":
                raise RuntimeError
            case "snooze":
                raise Snooze(60)
            case "stop":
                raise Stopped


def add(job_type: str = "test", *, due: timedelta = LONG_AGO, do: str = "", **options: Any) -> Job:
    now = timezone.now()
    return enqueue(job_type, {"do": do}, now=now, run_at=now - due, **options)[0]


def let_time_pass(by: timedelta = LONG_AGO) -> None:
    """For attempts: their ids tell when they were begun."""
    for attempt in JobAttempt.objects.all():
        begun = first_at(timezone.now() - by).int | attempt.pk.int & (1 << 80) - 1
        JobAttempt.objects.filter(pk=attempt.pk).update(id=f"{begun:032x}")


def look() -> health.Report:
    return health.report(now=timezone.now())


def still() -> list[str]:
    return [each.type for each in waiting.standing_still(now=timezone.now())]


def command(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("worker_health", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


# --- Processes --------------------------------------------------------------------------------------------------


def test_all_is_well_where_every_queue_is_served_and_beat_ticks(worker: ProcessLease) -> None:
    assert look().problems == []
    status, text = command()
    assert (status, text.splitlines()[-1]) == (0, "healthy")


def test_without_a_worker_and_a_beat_both_are_missed() -> None:
    assert look().problems == [
        "no worker process holds a lease; start `celery -A hyrelog worker`",
        "no tick for 90 seconds; start `celery -A hyrelog beat`",
    ]
    status, text = command()
    assert status == 1
    assert "beat: no tick yet" in text
    assert text.splitlines()[-1] == "unhealthy"


def test_a_process_is_told_with_what_it_serves_and_does(worker: ProcessLease) -> None:
    declare()
    add()
    job = claim(worker, now=timezone.now())
    (shown,) = look().processes
    assert (shown.pid, shown.queues, shown.types, shown.alive) == (os.getpid(), list(QUEUES), [], True)
    assert timedelta(seconds=0) < shown.lease_left <= timedelta(seconds=30)
    assert [(each.job, each.type) for each in shown.active] == [(job.pk, "test")]
    text = command()[1]
    assert f"pid {os.getpid()}: up " in text
    assert "jobs: active 1, processed 0, failed 0" in text
    assert f"test {job.pk} for " in text


def test_a_dead_process_is_told_with_the_jobs_it_leaves(worker: ProcessLease) -> None:
    declare()
    add()
    claim(worker, now=timezone.now())
    WorkerProcess.objects.update(lease_expires_at=F("lease_expires_at") - timedelta(seconds=50))
    (shown,) = look().processes
    assert not shown.alive
    assert len(shown.active) == 1
    status, text = command()
    assert status == 1
    assert "dead for 2" in text
    assert "no worker process holds a lease" in text


def test_jobs_of_a_process_that_has_no_row_any_more_are_told_as_orphans(worker: ProcessLease) -> None:
    declare()
    add()
    claim(worker, now=timezone.now())
    WorkerProcess.objects.all().delete()
    assert look().orphans == 1
    assert "orphans: 1 jobs" in command()[1]


def test_a_queue_that_only_the_dead_serve_is_a_problem(worker: ProcessLease) -> None:
    WorkerProcess.objects.update(queues=["jobs", "webhooks", "housekeeping"])
    dead = WorkerProcess.objects.register(queues=["exports"])
    WorkerProcess.objects.filter(pk=dead.pk).update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    assert look().problems == ["no worker serves the queue exports; start one with `-Q exports`"]


def test_a_type_that_nobody_takes_is_a_problem(worker: ProcessLease) -> None:
    declare("other")
    WorkerProcess.objects.update(types=["[!o]*"])
    assert look().problems == ["no worker takes jobs of the type other; see `--types` and JOB_TYPES"]
    WorkerProcess.objects.register(queues=["exports"])
    assert len(look().problems) == 1, "who takes all types, and does not serve the queue, is no help"
    WorkerProcess.objects.register(queues=["jobs"], types=["oth*"])
    assert look().problems == []


# --- Counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("do", "processed", "failed"), [("", 1, 0), ("fail", 1, 1), ("snooze", 0, 0), ("stop", 0, 0)])
def test_what_came_to_an_end_is_counted_by_its_process(
    do: str, processed: int, failed: int, worker: ProcessLease
) -> None:
    declare()
    add(do=do)
    assert run_next(worker, stopping=lambda: do == "stop")
    row = WorkerProcess.objects.get(pk=worker.process_id)
    assert (row.processed, row.failed) == (processed, failed)


def test_a_lost_attempt_is_counted_with_the_job_and_by_no_process(worker: ProcessLease) -> None:
    declare()
    add()
    job = claim(worker, now=timezone.now())
    WorkerProcess.objects.update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    assert rescuing.rescue("jobs", now=timezone.now()) == 1
    assert not run(job), "its own settling comes too late"
    row = WorkerProcess.objects.get()
    assert (row.processed, row.failed) == (0, 0)
    job.refresh_from_db()
    assert job.lost == 1


# --- What stands still ------------------------------------------------------------------------------------------


def test_a_job_that_nobody_begins_for_minutes_is_a_problem(worker: ProcessLease) -> None:
    declare()
    add()
    (problem,) = look().problems
    assert problem == (
        "jobs of the type test stand still: due for 7 minutes in the queue jobs, and nothing holds them back"
    )


def test_a_job_of_a_type_that_nobody_declares_stands_still(worker: ProcessLease) -> None:
    declare()
    add()
    registry._handlers.pop("test")
    (problem,) = look().problems
    assert "no handler of this release declares it" in problem


@pytest.mark.parametrize("due", [timedelta(minutes=2), timedelta(hours=-1)])
def test_what_is_due_shortly_or_later_is_none(due: timedelta) -> None:
    declare()
    add(due=due)
    assert still() == []


@pytest.mark.parametrize(("kind", "name"), [("queue", "jobs"), ("type", "test")])
def test_what_is_paused_does_not_stand_still(kind: str, name: str, worker: ProcessLease) -> None:
    declare()
    add()
    Pause.objects.create(kind=kind, name=name, reason="the mail server moves")
    assert look().problems == []
    assert f"paused: {kind} {name} since 20" in command()[1]


def test_one_that_was_begun_within_the_time_shows_that_its_type_moves(worker: ProcessLease) -> None:
    declare()
    add()
    add()
    assert run_next(worker)
    assert still() == []
    let_time_pass()
    assert still() == ["test"]


def test_a_type_at_its_limit_does_not_stand_still(worker: ProcessLease) -> None:
    declare(concurrency=1)
    add()
    add()
    job = claim(worker, now=timezone.now())
    let_time_pass()
    assert still() == []
    Job.objects.filter(pk=job.pk).update(type="sleep")
    assert still() == ["test"]


def test_a_type_whose_rate_is_closed_does_not_stand_still(worker: ProcessLease) -> None:
    declare(rate="1/h")
    add()
    add()
    assert run_next(worker)
    let_time_pass()
    assert still() == []
    Throttle.objects.update(open_at=timezone.now())
    assert still() == ["test"]


def test_a_company_at_its_limit_hides_no_other(worker: ProcessLease, tenant: Tenant) -> None:
    declare(company_concurrency=1)
    add(company=tenant.company)
    add(company=tenant.company)
    claim(worker, now=timezone.now())
    let_time_pass()
    assert still() == []
    add(company=open_tenant("Globex").company)
    assert still() == ["test"]


def test_jobs_for_later_and_of_higher_priority_hide_none_that_is_due() -> None:
    declare()
    for priority in range(1, 4):
        add(due=timedelta(hours=-1), priority=priority)
    add()
    assert still() == ["test"]


def test_one_type_s_crowd_hides_no_other_type(tenant: Tenant) -> None:
    declare("test")
    declare("zest")
    for priority in range(waiting.MOST + 20):
        add(due=timedelta(hours=-1), priority=priority)
    add("zest")
    assert still() == ["zest"]


def test_looking_costs_no_more_where_a_hundred_thousand_wait(tenant: Tenant) -> None:
    declare()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO jobs_job (id, company_id, type, queue, payload, priority, status, run_at, attempt, max_attempts,
                progress, step, error, traceback, created_at)
            SELECT gen_random_uuid(), %s, CASE n %% 3 WHEN 0 THEN 'test' ELSE 'sleep' END, 'jobs', '{}', n %% 5,
                'PENDING', now() + (n - 50000) * interval '1 second', 0, 3, 0, '', '', '', now()
            FROM generate_series(1, 100000) AS n
            """,
            [tenant.company.pk],
        )
        cursor.execute("ANALYZE jobs_job")
        parameters = [timezone.now()]
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {waiting._WAITING_LONG}", parameters)
        parts = [each for each in scans(cursor.fetchone()[0][0]["Plan"]) if each.get("Relation Name") == "jobs_job"]
    assert {part["Node Type"] for part in parts} <= {"Index Scan", "Index Only Scan"}
    assert sum(read_by(part) for part in parts) < 100
    assert sorted(still()) == ["sleep", "test"]


# --- The command ------------------------------------------------------------------------------------------------


def test_it_tells_since_when_the_longest_due_job_of_each_queue_waits(worker: ProcessLease) -> None:
    declare()
    add(due=timedelta(seconds=65))
    add(due=timedelta(seconds=5))
    text = command()[1]
    assert "queue jobs: longest due for 1 min" in text
    assert "queue exports: nothing is due" in text


def test_as_json_it_is_one_object(worker: ProcessLease) -> None:
    declare()
    add()
    claim(worker, now=timezone.now())
    status, text = command("--json")
    told = json.loads(text)
    assert (status, told["healthy"], told["problems"]) == (0, True, [])
    (process,) = told["processes"]
    assert (process["alive"], process["processed"], process["failed"]) == (True, 0, 0)
    assert [each["type"] for each in process["active"]] == ["test"]
    assert told["lastTickSeconds"] < 60
    assert told["oldestDueSeconds"] == {"jobs": None, "exports": None}
    assert command("--json")[0] == 0
    WorkerProcess.objects.all().delete()
    status, text = command("--json")
    assert (status, json.loads(text)["healthy"]) == (1, False)


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_postgres_away_is_said_plainly(arguments: list[str]) -> None:
    environment = os.environ | {"DATABASE_URL": "postgres://somebody:secret@127.0.0.1:1/none"}
    asked = [sys.executable, "manage.py", "worker_health", *arguments]
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Postgres could not be asked: ")
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    if arguments:
        assert json.loads(done.stdout)["healthy"] is False


@pytest.mark.usefixtures("committed")
def test_it_runs_outside_a_transaction() -> None:
    assert command()[0] == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h")]
)
def test_a_duration_is_told_by_its_two_largest_units(seconds: float, text: str) -> None:
    assert spoken(timedelta(seconds=seconds)) == text
