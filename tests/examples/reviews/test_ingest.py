import socket
import uuid
from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone
from reviews import source as wire
from reviews.handlers import INGEST
from reviews.models import Connector, Review
from reviews.requesting import request_ingest

from jobs import stopping
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.registry import handler_of
from jobs.testing import run_enqueued, run_job
from tests.conftest import Tenant, open_tenant
from tests.examples.reviews.pages import Source, review
from tests.jobs.steps import claim

pytestmark = pytest.mark.django_db
Status = Job.Status
SINCE = date(2026, 1, 1)
THREE_PAGES = [[review(1), review(2)], [review(3), review(4)], [review(5)]]


def run(tenant: Tenant, *, connector: str = "shop", **options: Any) -> Job:
    payload = {"tenant": str(tenant.company.id), "connector": connector, "since": SINCE.isoformat()}
    return run_job(INGEST, payload, company=tenant.company, **options)


def stored() -> list[str]:
    return list(Review.objects.order_by("source_id").values_list("source_id", flat=True))


def test_every_page_is_fetched_and_stored(tenant: Tenant, connector: Connector, source: Source) -> None:
    source.pages = THREE_PAGES
    job = run(tenant)
    assert (job.status, job.result) == (Status.COMPLETED, {"pages": 3, "reviews": 5, "cursor": None}), job.traceback
    assert source.asked == [{"since": "2026-01-01"}] + [{"since": "2026-01-01", "cursor": n} for n in ("1", "2")]
    assert stored() == ["r1", "r2", "r3", "r4", "r5"]
    assert set(Review.objects.values_list("company", "connector")) == {(tenant.company.id, connector.id)}
    log = list(job.log.order_by("id").values_list("text", flat=True))
    assert sorted(log) == ["page 1: 2 reviews", "page 2: 2 reviews", "page 3: 1 reviews"]


def test_a_page_that_is_fetched_twice_stores_nothing_twice(
    tenant: Tenant, connector: Connector, source: Source
) -> None:
    source.pages = [[review(1, rating=1), review(1, rating=2), review(2, text="nul \0")]]
    run(tenant)
    source.pages = [[review(1, rating=5), review(2)]]
    assert run(tenant).status == Status.COMPLETED
    assert list(Review.objects.order_by("source_id").values_list("source_id", "rating")) == [("r1", 5), ("r2", 4)]


@pytest.mark.usefixtures("committed")
def test_it_brings_its_own_transactions(source: Source) -> None:
    tenant = open_tenant("Acme")
    Connector.objects.create(company=tenant.company, name="shop", url=source.url)
    source.pages, source.failures = THREE_PAGES, [None, 500]
    assert (run(tenant).status, stored()) == (Status.PENDING, ["r1", "r2"])
    assert run_enqueued(Job.objects.get()).status == Status.COMPLETED
    assert len(stored()) == 5


def test_no_reviews_are_no_failure(tenant: Tenant, connector: Connector, source: Source) -> None:
    source.pages = [[]]
    assert run(tenant).result == {"pages": 1, "reviews": 0, "cursor": None}


@pytest.mark.parametrize("failure", [500, 503, 429, 408, b"<html>", b'{"reviews": [{"id": ""}], "total": 1}'])
def test_what_may_pass_is_retried_from_the_last_stored_page(
    tenant: Tenant, connector: Connector, source: Source, failure: int | bytes
) -> None:
    source.pages, source.failures = THREE_PAGES, [None, failure, failure, None]
    job = run(tenant)
    assert (job.status, job.attempt, job.progress) == (Status.PENDING, 1, 0.4)
    assert job.error.startswith("The source answered with ")
    assert stored() == ["r1", "r2"]
    job = run_enqueued(job, attempts=4)
    assert (job.status, job.attempt) == (Status.COMPLETED, 3)
    assert job.result == {"pages": 3, "reviews": 5, "cursor": None}
    assert source.cursors == [None, "1", "1", "1", "2"]
    assert "goes on after page 1" in job.log.values_list("text", flat=True)


def test_a_source_that_does_not_answer_is_retried(
    tenant: Tenant, connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        Connector.objects.update(url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        job = run(tenant)
    assert (job.status, job.attempt) == (Status.PENDING, 1)
    assert "ReadTimeout" in job.traceback


def test_after_five_attempts_it_is_a_dead_letter_that_keeps_what_was_stored(
    tenant: Tenant, connector: Connector, source: Source
) -> None:
    source.pages, source.failures = THREE_PAGES, [None, *[500] * 10]
    job = run(tenant, attempts=10)
    assert (job.status, job.attempt, len(source.asked)) == (Status.FAILED, 5, 6)
    assert (stored(), job.result) == (["r1", "r2"], {"pages": 1, "reviews": 2, "cursor": "1"})


def test_its_pauses_double_from_two_seconds_to_thirty_two() -> None:
    declared = handler_of(INGEST)
    pauses = [declared.backoff(failed).total_seconds() for failed in range(1, 7)]
    assert (pauses, declared.max_attempts) == ([2, 4, 8, 16, 32, 32], 5)


@pytest.mark.parametrize("status", [401, 404, 302])
def test_a_refusal_is_not_repeated(tenant: Tenant, connector: Connector, source: Source, status: int) -> None:
    source.failures = [status]
    job = run(tenant)
    assert (job.status, job.attempt, len(source.asked)) == (Status.FAILED, 1, 1)
    assert f"status {status}" in job.error


def test_an_unknown_tenant_or_connector_is_not_repeated(
    tenant: Tenant, other_tenant: Tenant, connector: Connector, source: Source
) -> None:
    unknown = run(tenant, connector="mail")
    foreign = run(other_tenant)
    nobody = run_enqueued(request_ingest(tenant=uuid.UUID(int=7), connector="shop", since=SINCE)[0])
    tenant.company.close(now=timezone.now())
    closed = run(tenant)
    for job, what in ((unknown, "'mail'"), (foreign, "'shop'"), (nobody, str(uuid.UUID(int=7))), (closed, "open")):
        assert (job.status, job.attempt) == (Status.FAILED, 1)
        assert what in job.error
    assert source.asked == []


def test_a_worker_that_stops_keeps_the_page_that_it_has_and_loses_no_attempt(
    tenant: Tenant, connector: Connector, source: Source
) -> None:
    source.pages, source.before_answer = THREE_PAGES, stopping.ask
    job = run(tenant)
    assert (job.status, job.attempt, source.cursors) == (Status.PENDING, 0, [None])
    assert stored() == ["r1", "r2"]
    source.before_answer = stopping.forget
    job = run_enqueued(job)
    assert (job.status, job.attempt, source.cursors) == (Status.COMPLETED, 1, [None, "1", "2"])


def test_three_ingests_run_at_a_time_over_all_workers(lease: ProcessLease, tenant: Tenant, source: Source) -> None:
    for day in range(4):
        request_ingest(tenant=tenant.company.id, connector="shop", since=SINCE + timedelta(days=day))
    others = [ProcessLease(queues=["jobs"]) for _ in range(2)]
    running = [claim(worker, now=timezone.now()) for worker in (lease, *others)]
    with pytest.raises(AssertionError):
        claim(lease, now=timezone.now())
    running[0].complete(None)
    assert claim(others[0], now=timezone.now())
