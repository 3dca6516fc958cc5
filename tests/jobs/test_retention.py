"""What ends by age and state, what stays however old it is, and that ending it keeps nobody waiting."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.ids import uuid7
from gdpr.models import ExportArchive
from hyrelog import housekeeping
from jobs import registry, retention
from jobs.context import JobContext
from jobs.models import Job, JobAttempt, JobLog, Throttle
from jobs.models.job import NOBODY
from jobs.registry import FOREVER, handler
from tests.conftest import Tenant
from tests.plans import scans

pytestmark = pytest.mark.django_db
TODAY = timezone.now()
DAY = timedelta(days=1)
ENDED = ("COMPLETED", "CANCELLED", "FAILED")
Made = Callable[..., Job]


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))


def declare(job_type: str, **options: Any) -> None:
    @handler(job_type, **options)
    def run(context: JobContext) -> None:
        """Never called."""


def made(status: str, age: timedelta, *, job_type: str = "sleep", **fields: Any) -> Job:
    """A job that ended, or was created, so long ago, with an attempt and a line of log."""
    ended = TODAY - age if status in ENDED else None
    claim = {"claim_token": uuid7(), "claimed_by": uuid7()} if status == "PROCESSING" else {}
    known: dict[str, Any] = {"queue": "jobs", "run_at": TODAY - age, "max_attempts": 1, "completed_at": ended}
    job = Job.objects.create(type=job_type, status=status, **(known | claim | fields))
    JobAttempt.objects.create(id=uuid7(), job=job, number=1, worker="w", outcome="lost", ended_at=TODAY)
    JobLog.objects.create(job=job, attempt=1, text="hello")
    return job


def left() -> set[Job]:
    return set(Job.objects.all())


@pytest.mark.parametrize(("status", "days"), [("COMPLETED", 7), ("CANCELLED", 7), ("FAILED", 30)])
def test_an_ended_job_ends_by_the_settings_with_its_attempts_and_log(status: str, days: int) -> None:
    made(status, days * DAY + timedelta(minutes=1))
    kept = made(status, days * DAY - timedelta(minutes=1))
    assert retention.prune_jobs(now=TODAY) == 1
    assert left() == {kept}
    assert JobAttempt.objects.get().job == JobLog.objects.get().job == kept


def test_the_settings_say_for_how_long(settings: Any) -> None:
    settings.JOB_RETENTION_DAYS, settings.JOB_RETENTION_FAILED_DAYS = 2, 1
    kept = made("COMPLETED", 1.5 * DAY)
    made("FAILED", 1.5 * DAY)
    assert retention.prune_jobs(now=TODAY) == 1
    assert left() == {kept}


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_what_waits_or_runs_stays_however_old_it_is(status: str) -> None:
    job = made(status, 4000 * DAY)
    assert retention.prune_jobs(now=TODAY) == 0
    assert left() == {job}


def test_a_handler_s_own_terms_win_over_the_settings() -> None:
    declare("brief", keep_completed=timedelta(hours=1), keep_failed=timedelta(0))
    declare("long", keep_completed=20 * DAY)
    for status in ENDED:
        made(status, timedelta(hours=2), job_type="brief")
    kept = {made(status, 19 * DAY, job_type="long") for status in ENDED}
    kept.add(made("COMPLETED", timedelta(minutes=59), job_type="brief"))
    assert retention.prune_jobs(now=TODAY) == 3
    assert left() == kept


def test_what_is_kept_for_ever_never_ends() -> None:
    declare("eternal", keep_completed=FOREVER, keep_failed=FOREVER)
    declare("ages", keep_completed=timedelta(days=999_999))
    kept = {made(status, 40_000 * DAY, job_type="eternal") for status in ENDED}
    kept.add(made("COMPLETED", 40_000 * DAY, job_type="ages"))
    assert retention.prune_jobs(now=TODAY) == 0
    assert left() == kept


def test_types_that_no_handler_declares_end_by_the_settings() -> None:
    for job_type in ("abandoned", "zzz"):
        made("COMPLETED", 8 * DAY, job_type=job_type)
    kept = made("FAILED", 8 * DAY, job_type="abandoned")
    assert retention.prune_jobs(now=TODAY) == 2
    assert left() == {kept}


def test_a_job_that_another_row_protects_stays_and_is_in_nobody_s_way(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 1)
    declare("gdpr.export", queue="exports")  # without the declaration that keeps its jobs anyway
    for age in (10, 8):
        job = made("COMPLETED", age * DAY, job_type="gdpr.export", company=tenant.company)
        if age == 10:
            ExportArchive.objects.create(
                company=tenant.company, job=job, scope="company", file="x", size=1, sha256="0" * 64, counts={},
                created_at=TODAY, expires_at=TODAY,
            )  # fmt: skip
    assert retention.prune_jobs(now=TODAY) == 1
    assert left() == {ExportArchive.objects.get().job}


def test_a_run_ends_no_more_than_its_share_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    for _ in range(5):
        made("COMPLETED", 8 * DAY)
    assert [retention.prune_jobs(now=TODAY) for _ in range(3)] == [4, 1, 0]


def test_the_oldest_end_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGE", 1)
    monkeypatch.setattr(retention, "BATCHES", 1)
    young, old = made("COMPLETED", 8 * DAY), made("COMPLETED", 9 * DAY)
    retention.prune_jobs(now=TODAY)
    assert left() == {young}
    assert old not in left()


def test_a_row_that_somebody_else_has_locked_is_passed_over(committed: None) -> None:
    locked, free = made("FAILED", 31 * DAY), made("FAILED", 31 * DAY)
    counts: list[int] = []

    def prune() -> None:
        try:
            counts.append(retention.prune_jobs(now=TODAY))
        finally:
            connection.close()

    with transaction.atomic():
        Job.objects.select_for_update().get(pk=locked.pk)
        thread = threading.Thread(target=prune, daemon=True)
        thread.start()
        thread.join(30)  # it does not wait for this transaction
        assert counts == [1]
    assert left() == {locked}
    assert free not in left()


def test_a_job_that_is_retried_meanwhile_stays(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    job = made("FAILED", 31 * DAY)
    end = retention._end

    def retried_before(page: Any) -> int:
        Job.objects.filter(pk=job.pk).retry(now=TODAY)
        return end(page)

    monkeypatch.setattr(retention, "_end", retried_before)
    assert retention.prune_jobs(now=TODAY) == 0
    assert left() == {job}


def test_only_what_is_old_is_read() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO jobs_job (id, type, queue, payload, priority, status, run_at, attempt, max_attempts, lost,
                progress, step, error, traceback, created_at, completed_at)
            SELECT gen_random_uuid(), 'sleep', 'jobs', '{}', 0, 'COMPLETED', at, 1, 1, 0, 1, '', '', '', at, at
            FROM (SELECT %s - n * interval '1 minute' AS at FROM generate_series(1, 50000) AS n) AS many
            """,
            [TODAY],
        )
        cursor.execute("ANALYZE jobs_job")
    before = TODAY - 30 * DAY
    old = retention._old("sleep", Job.Status.COMPLETED, before=before).order_by("completed_at").values_list("pk")
    (plan,) = connection_plan(old[: retention.PAGE])
    read = {scan.get("Index Name", scan["Node Type"]): scan["Actual Rows"] for scan in scans(plan["Plan"])}
    assert read["job_ended"] <= retention.PAGE


def connection_plan(rows: Any) -> Any:
    sql, values = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
        return cursor.fetchone()[0]


def test_rows_of_rates_that_are_long_open_end_and_those_of_the_types_stay(tenant: Tenant) -> None:
    company = tenant.company.pk
    Throttle.objects.create(type="a", company=company, open_at=TODAY - 2 * DAY)
    recent = Throttle.objects.create(type="b", company=company, open_at=TODAY - timedelta(hours=23))
    of_type = Throttle.objects.create(type="a", company=NOBODY, open_at=TODAY - 2 * DAY)
    assert retention.prune_throttles(now=TODAY) == 1
    assert set(Throttle.objects.all()) == {recent, of_type}


def test_housekeeping_ends_jobs_and_throttles() -> None:
    made("COMPLETED", 8 * DAY)
    Throttle.objects.create(type="a", company=uuid7(), open_at=TODAY - 2 * DAY)
    ended = housekeeping.run(now=TODAY)
    assert (ended["jobs"], ended["throttles"]) == (1, 1)
