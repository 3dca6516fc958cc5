"""A bell for a moment to come, with a real broker."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from jobs import doorbell, lanes
from tests.conftest import Tenant
from webhooks.models import Webhook, WebhookDelivery

LANE = "webhooks"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def broker() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert doorbell.wait_published(10)
        client.flushall()
        yield client
        assert doorbell.wait_published(10)
        client.flushall()


def rung(broker: redis.Redis) -> list[datetime | None]:
    """For when the rings in the queue are, the oldest first; None for at once."""
    assert doorbell.wait_published(10)
    messages = [json.loads(message) for message in broker.lrange(LANE, 0, -1)]
    etas = [message["headers"]["eta"] for message in reversed(messages)]
    return [eta and datetime.fromisoformat(eta) for eta in etas]


def test_it_is_published_at_once_for_then_and_outlives_then_by_a_minute(broker: redis.Redis) -> None:
    before = timezone.now()
    doorbell.ring_in(LANE, 20)
    (at,) = rung(broker)
    assert at is not None
    assert before + timedelta(seconds=20) <= at <= timezone.now() + timedelta(seconds=20)
    (message,) = broker.lrange(LANE, 0, -1)
    expires = datetime.fromisoformat(json.loads(message)["headers"]["expires"])
    assert expires - at >= timedelta(seconds=doorbell.EXPIRES - 1)


@pytest.mark.parametrize("seconds", [20, 25, 59])
def test_one_that_would_come_no_earlier_is_left_out(broker: redis.Redis, seconds: float) -> None:
    doorbell.ring_in(LANE, 20)
    assert len(rung(broker)) == 1
    doorbell.ring_in(LANE, seconds)
    assert len(rung(broker)) == 1


def test_an_earlier_one_rings_too(broker: redis.Redis) -> None:
    doorbell.ring_in(LANE, 30)
    assert len(rung(broker)) == 1
    doorbell.ring_in(LANE, 10)
    later, earlier = rung(broker)
    assert later is not None
    assert earlier is not None
    assert earlier < later
    doorbell.ring_in(LANE, 20)  # there is one before it, which looks again
    assert len(rung(broker)) == 2


def test_one_to_come_silences_none_that_is_for_now(broker: redis.Redis) -> None:
    doorbell.ring_in(LANE, 20)
    assert len(rung(broker)) == 1
    doorbell.ring(LANE)
    assert [at is None for at in rung(broker)] == [False, True]


def test_one_for_now_silences_none_to_come(broker: redis.Redis) -> None:
    doorbell.ring(LANE)
    assert len(rung(broker)) == 1
    doorbell.ring_in(LANE, 20)
    assert [at is None for at in rung(broker)] == [True, False]


def test_each_lane_has_its_own(broker: redis.Redis) -> None:
    doorbell.ring_in("jobs", 5)
    doorbell.ring_in(LANE, 20)
    assert len(rung(broker)) == 1
    assert broker.llen("jobs") == 1


def test_once_it_has_rung_the_next_one_is_news(broker: redis.Redis) -> None:
    doorbell.ring_in(LANE, 0.01)
    assert len(rung(broker)) == 1
    while broker.keys("*:later"):
        pass
    doorbell.ring_in(LANE, 20)
    assert len(rung(broker)) == 2


# --- The look ahead of a lane ------------------------------------------------------------------------------------


@pytest.fixture
def retry(tenant: Tenant) -> WebhookDelivery:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record()
    WebhookDelivery.objects.update(status="FAILED", attempt=1, failures=1)
    return WebhookDelivery.objects.get()


@pytest.mark.parametrize(
    ("ahead", "rings"),
    [(-HOUR, "now"), (timedelta(0), "now"), (timedelta(seconds=3), "then"), (lanes.AHEAD, "then"), (HOUR, "not")],
    ids=["due for long", "just due", "due soon", "due at the edge", "due later"],
)
def test_the_poll_rings_for_what_comes_due_before_the_next_one(
    broker: redis.Redis, retry: WebhookDelivery, ahead: timedelta, rings: str
) -> None:
    now = timezone.now()
    WebhookDelivery.objects.update(next_attempt_at=now + ahead)
    lanes.poll([LANE], now=now)
    at = rung(broker)
    if rings == "not":
        assert at == []
    elif rings == "now":
        assert at == [None]
    else:
        assert at[0] is not None
        assert at[0] >= now + ahead  # never before it is due


def test_polls_that_see_the_same_retry_ring_once(broker: redis.Redis, retry: WebhookDelivery) -> None:
    now = timezone.now()
    WebhookDelivery.objects.update(next_attempt_at=now + timedelta(seconds=5))
    for _ in range(3):
        lanes.poll([LANE], now=now)
        assert len(rung(broker)) == 1
