"""The statements of the runtime at some hundred thousand jobs: by which index they read, and how much of it."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from audit.models import Company
from jobs import registry
from jobs.claiming import Claimer
from jobs.due import next_due
from jobs.leases import ProcessLease
from jobs.models import Job, Pause
from jobs.registry import handler
from jobs.rescuing import rescue
from tests.conftest import NOON
from tests.jobs.large import (
    COMPANIES,
    EACH,
    JOBS,
    LATER,
    add_companies,
    add_jobs,
    analyze,
)
from tests.plans import explained

pytestmark = pytest.mark.django_db
A_FEW = 2_000
"""Rows, of fifty thousand and more: some of what is due, the heads of companies, and dead rows of tests before."""
CLAIM = {"job_turn", "job_scheduled", "job_claimed", "jobs_job_pkey"}

SITUATIONS: dict[str, dict[str, Any]] = {
    "200,000 of one company and type": {"count": 200_000},
    "50,000 of 5,000 companies and 10 types": {"count": 50_000, "company": EACH, "job_type": "'t' || n % 10"},
    "100,000 for later at higher priorities": {"count": 100_000, "priority": "1 + n % 100", "due": LATER},
    "each company has one for later": {"count": COMPANIES, "company": EACH, "due": LATER},
    "100,000 that have ended": {"count": 100_000, "company": EACH, "status": "COMPLETED"},
}
"""Beside each, one more may be claimed."""


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_handlers", {})
    for job_type in ("any", "other", *(f"t{n}" for n in range(10))):
        handler(job_type, concurrency=300, company_concurrency=20)(lambda context: None)


@pytest.fixture(params=list(SITUATIONS))
def situation(request: pytest.FixtureRequest, db: None) -> None:
    add_companies()
    add_jobs(**SITUATIONS[request.param])
    add_jobs(1)


@pytest.fixture
def claimer(lease: ProcessLease) -> Claimer:
    """One to which all types are known."""
    claimer = Claimer("jobs")
    assert claimer.claim(process=lease.process_id, now=NOON - timedelta(days=1)).job is None
    return claimer


def test_each_statement_reads_a_little_of_its_own_indexes_also_before_these_rows_are_counted(
    situation: None, lease: ProcessLease, claimer: Claimer
) -> None:
    for _ in ("before", "after"):
        a_claim_reads_heads(claimer, lease)
        a_look_ahead_reads_the_head_of_an_index()
        a_key_is_looked_up_by_its_index()
        analyze()
    a_rescue_reads_what_runs()


def a_claim_reads_heads(claimer: Claimer, lease: ProcessLease) -> None:
    with explained() as plans, transaction.atomic():
        assert claimer.claim(process=lease.process_id, now=NOON).job
        transaction.set_rollback(True)
    claim, *_ = plans
    assert JOBS.indexes_read(claim) <= CLAIM
    assert JOBS.rows_read(claim) < A_FEW


def a_look_ahead_reads_the_head_of_an_index() -> None:
    with explained() as plans:
        assert next_due("jobs", now=NOON, until=NOON + timedelta(seconds=6)) == NOON
        assert next_due("jobs", now=NOON - timedelta(hours=3), until=NOON - timedelta(hours=2)) is None
    assert JOBS.indexes_read(*plans) <= {"job_scheduled"}
    assert JOBS.rows_read(*plans) < A_FEW


def a_key_is_looked_up_by_its_index() -> None:
    company = Company.objects.get(name="company 0")
    with explained() as plans:
        assert not Job.objects.active_with(company=company.pk, job_type="any", key="k").exists()
    (plan,) = plans
    assert JOBS.indexes_read(plan) == {"job_key_once_while_active"}
    assert JOBS.rows_read(plan) < A_FEW


def a_rescue_reads_what_runs() -> None:
    add_jobs(100, status="PROCESSING")
    with explained() as plans:
        assert rescue("jobs", now=NOON) == 100
    rescued, *_ = plans
    assert JOBS.indexes_read(rescued) <= {"job_claimed", "jobs_job_pkey"}
    assert JOBS.rows_read(rescued) < 1000


def test_what_is_at_its_limit_is_passed_in_one_look(lease: ProcessLease, claimer: Claimer) -> None:
    add_companies()
    add_jobs(100_000)
    add_jobs(300, status="PROCESSING", company=EACH)
    with explained() as plans:
        assert claimer.claim(process=lease.process_id, now=NOON).job is None
    assert JOBS.rows_read(*plans) < A_FEW + 2 * 300


def test_companies_with_nothing_due_are_read_once_where_another_has_a_backlog(
    lease: ProcessLease, claimer: Claimer
) -> None:
    add_companies()
    add_jobs(COMPANIES, company=EACH, due=LATER)
    add_jobs(200, job_type="'other'")
    with explained() as plans:
        assert claimer.claim(process=lease.process_id, now=NOON).job
        assert claimer.claim(process=lease.process_id, now=NOON).job
    assert JOBS.indexes_read(*plans) <= CLAIM
    assert JOBS.rows_read(*plans) < 8 * COMPANIES


def test_a_paused_backlog_is_no_reason_to_read_it_all(lease: ProcessLease, claimer: Claimer) -> None:
    add_companies()
    add_jobs(100_000)
    add_jobs(1, job_type="'other'")
    Pause.objects.create(kind=Pause.Kind.TYPE, name="any")
    with explained() as plans:
        assert claimer.claim(process=lease.process_id, now=NOON).job
    claim, *_ = plans
    assert JOBS.rows_read(claim) < A_FEW
