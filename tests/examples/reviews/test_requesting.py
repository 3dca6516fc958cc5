from datetime import date

import pytest
from pydantic import ValidationError
from reviews.models import Connector
from reviews.requesting import request_ingest, request_ingest_and_score, request_score

from jobs.models import Job
from jobs.testing import run_enqueued
from tests.conftest import Tenant
from tests.examples.reviews.pages import Source, review

pytestmark = pytest.mark.django_db
START, END = date(2026, 1, 1), date(2026, 1, 31)


def test_an_ingest_that_waits_or_runs_comes_back(tenant: Tenant, other_tenant: Tenant) -> None:
    job, new = request_ingest(tenant=tenant.company.id, connector="shop", since=START)
    assert new
    assert (job.key, job.company) == (f"ingest:{tenant.company.id}:shop:2026-01-01", tenant.company)
    assert request_ingest(tenant=tenant.company.id, connector="shop", since=START) == (job, False)
    others = [("mail", START, tenant), ("shop", END, tenant), ("shop", START, other_tenant)]
    assert all(request_ingest(tenant=who.company.id, connector=c, since=d)[1] for c, d, who in others)
    run_enqueued(job)
    assert request_ingest(tenant=tenant.company.id, connector="shop", since=START)[1]


def test_a_scoring_that_waits_or_runs_comes_back(tenant: Tenant) -> None:
    tenant_id = tenant.company.id
    job, new = request_score(tenant=tenant_id, start=START, end=END, version=2)
    assert (new, job.key) == (True, f"score:{tenant_id}:2026-01-01:2026-01-31:2")
    assert request_score(tenant=tenant_id, start=START, end=END, version=2) == (job, False)
    assert request_score(tenant=tenant_id, start=START, end=END, version=1)[1]
    assert request_score(tenant=tenant_id, start=START, end=END, version=2, connector="shop")[1]


def test_what_could_not_run_is_not_enqueued(tenant: Tenant) -> None:
    with pytest.raises(ValidationError, match="connector"):
        request_ingest(tenant=tenant.company.id, connector="", since=START)
    with pytest.raises(ValidationError, match="end"):
        request_score(tenant=tenant.company.id, start=END, end=START, version=1)
    assert not Job.objects.exists()


def test_a_scoring_follows_the_ingest_and_knows_its_result(
    tenant: Tenant, connector: Connector, source: Source
) -> None:
    source.pages = [[review(1, rating=5)], [review(2, rating=2)]]
    ingest, _ = request_ingest_and_score(tenant=tenant.company.id, connector="shop", since=START, end=END, version=1)
    ingest = run_enqueued(ingest)
    assert ingest.status == Job.Status.COMPLETED, ingest.traceback
    score = Job.objects.get(type="score_run")
    assert score.payload["result"] == ingest.result == {"pages": 2, "reviews": 2, "cursor": None}
    score = run_enqueued(score)
    assert score.status == Job.Status.COMPLETED, score.traceback
    assert score.result
    assert (score.result["count"], score.result["meanScore"]) == (2, 62.5)
    assert score.log.get().text == "follows an ingest of 2 reviews"


def test_nothing_follows_an_ingest_that_fails(tenant: Tenant, connector: Connector, source: Source) -> None:
    source.failures = [404]
    job, _ = request_ingest_and_score(tenant=tenant.company.id, connector="shop", since=START, end=END, version=1)
    assert run_enqueued(job).status == Job.Status.FAILED
    assert Job.objects.get() == job
