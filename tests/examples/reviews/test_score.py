import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from reviews.handlers import SCORE
from reviews.models import Connector, Review
from reviews.source import SourceReview

from jobs.claiming import Claimer
from jobs.enqueueing import enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job, Throttle
from jobs.payloads import BadPayload
from jobs.registry import handler_of
from jobs.testing import run_job
from tests.conftest import Tenant
from tests.examples.reviews.pages import review
from tests.jobs.steps import claim

pytestmark = pytest.mark.django_db
Status = Job.Status


def payload(tenant: uuid.UUID, **fields: Any) -> dict[str, Any]:
    return {"tenant": str(tenant), "start": "2026-01-10", "end": "2026-01-12", "version": 1} | fields


def score(tenant: uuid.UUID, **fields: Any) -> dict[str, Any]:
    """The result of a scoring that succeeds."""
    job = run_job(SCORE, payload(tenant, **fields))
    assert job.status == Status.COMPLETED, job.traceback
    return dict(job.result or {})


def store(connector: Connector, *reviews: dict[str, Any]) -> None:
    Review.objects.store(connector, [SourceReview.model_validate(each) for each in reviews])


@pytest.fixture
def reviews(connector: Connector) -> None:
    moments = ["09T23:59:59Z", "10T00:00:00Z", "11T12:00:00Z", "12T23:59:59Z", "13T00:00:00Z", "12T23:30:00-01:00"]
    ratings = [1, 5, 3, 1, 1, 1]
    texts = ["", "quick, friendly", "late, but friendly", "", "", ""]
    parts = enumerate(zip(moments, ratings, texts, strict=True))
    store(connector, *[review(n, writtenAt=f"2026-01-{at}", rating=r, text=text) for n, (at, r, text) in parts])


@pytest.mark.usefixtures("reviews")
def test_the_reviews_of_a_period_are_scored_and_aggregated(tenant: Tenant) -> None:
    job = run_job(SCORE, payload(tenant.company.id), company=tenant.company)
    assert job.status == Status.COMPLETED, job.traceback
    assert job.result == {
        "start": "2026-01-10",
        "end": "2026-01-12",
        "version": 1,
        "count": 3,
        "meanScore": 50.0,
        "byRating": {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1},
        "bySentiment": {"negative": 1, "neutral": 1, "positive": 1},
    }


@pytest.mark.usefixtures("reviews")
def test_scoring_again_says_the_same_and_another_version_may_say_something_else(tenant: Tenant) -> None:
    store(Connector.objects.get(), review(7, writtenAt="2026-01-11T00:00:00Z", rating=3, text="Slow and rude"))
    first, again, other = (score(tenant.company.id, version=version) for version in (1, 1, 2))
    assert first == again
    assert (first["meanScore"], other["meanScore"]) == (50.0, 47.5)


def test_one_connector_or_all_of_one_tenant(tenant: Tenant, other_tenant: Tenant, connector: Connector) -> None:
    mail = Connector.objects.create(company=tenant.company, name="mail", url=connector.url)
    foreign = Connector.objects.create(company=other_tenant.company, name="shop", url=connector.url)
    for rating, each in ((1, connector), (3, mail), (5, foreign)):
        store(each, review(1, rating=rating, writtenAt="2026-01-11T00:00:00Z"))
    both, one = score(tenant.company.id), score(tenant.company.id, connector="mail")
    others = score(other_tenant.company.id)
    assert [(each["count"], each["meanScore"]) for each in (both, one, others)] == [(2, 25.0), (1, 50.0), (1, 100.0)]


def test_a_period_without_reviews_has_no_mean(tenant: Tenant) -> None:
    result = score(tenant.company.id)
    assert (result["count"], result["meanScore"]) == (0, None)


def test_an_unknown_tenant_or_connector_is_not_repeated(tenant: Tenant) -> None:
    for asked in (payload(uuid.UUID(int=7)), payload(tenant.company.id, connector="shop")):
        job = run_job(SCORE, asked)
        assert (job.status, job.attempt) == (Status.FAILED, 1)
        assert asked["tenant"] in job.error


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("version", 3, "must be 1 or 2"),
        ("end", "2026-01-09", "must be 2026-01-10 or one of the 365 days after it"),
        ("end", "2027-01-11", "must be 2026-01-10 or one of the 365 days after it"),
        ("start", "yesterday", "valid date"),
        ("tenant", "acme", "valid UUID"),
        ("since", "2026-01-01", "is no field"),
    ],
)
def test_a_bad_payload_is_refused_with_the_field_s_name(tenant: Tenant, field: str, value: object, rule: str) -> None:
    with pytest.raises(BadPayload, match=rf"payload\.{field}: .*{rule}"):
        run_job(SCORE, payload(tenant.company.id) | {field: value})
    assert not Job.objects.exists()


def test_two_run_at_a_time_and_ten_start_in_a_second(lease: ProcessLease, tenant: Tenant) -> None:
    enqueue_many(SCORE, [payload(tenant.company.id)] * 4)
    now, claimer = timezone.now(), Claimer("jobs")
    first = claim(lease, now=now)
    assert first.started_at is not None
    (throttle,) = Throttle.objects.filter(type=SCORE)
    assert 0.1 <= (throttle.open_at - first.started_at).total_seconds() < 5  # by the clock of the database

    def open_at(moment: datetime) -> None:
        Throttle.objects.filter(type=SCORE).update(open_at=moment)

    open_at(now + timedelta(hours=1))  # the tenth of a second could be over by now
    assert claimer.claim(process=lease.process_id, now=now).opens_at == now + timedelta(hours=1)
    open_at(now)
    claim(lease, now=now)
    open_at(now)
    assert claimer.claim(process=lease.process_id, now=now).job is None
    first.complete(None)
    open_at(now)
    assert claimer.claim(process=lease.process_id, now=now).job


def test_its_pauses_double_from_five_seconds_to_twenty() -> None:
    declared = handler_of(SCORE)
    pauses = [declared.backoff(failed).total_seconds() for failed in range(1, 5)]
    assert (pauses, declared.max_attempts) == ([5, 10, 20, 20], 3)
