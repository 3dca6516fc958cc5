"""The doorbell, with a real broker: what lies in the queue is what a worker would hear."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import transaction

from jobs import doorbell, lanes, worker
from jobs.models import Tick
from jobs.worker import poll_if_beat_is_silent
from tests.conftest import NOON, Tenant, open_tenant
from tests.jobs.rows import job_in
from webhooks.models import Webhook, WebhookDelivery

LANE = "webhooks"


@pytest.fixture(autouse=True)
def broker() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert doorbell.wait_published(10)
        client.flushall()
        yield client
        assert doorbell.wait_published(10)
        client.flushall()


def rung(broker: redis.Redis) -> int:
    assert doorbell.wait_published(10)
    return int(broker.llen(LANE))


def test_a_ring_says_that_there_may_be_work_in_a_lane_and_nothing_more(broker: redis.Redis) -> None:
    doorbell.ring(LANE)
    assert rung(broker) == 1
    message = json.loads(broker.lindex(LANE, 0))  # type: ignore[arg-type]
    assert message["headers"]["task"] == "webhooks.deliver"
    assert message["headers"]["argsrepr"] == "['webhooks']"
    assert message["headers"]["expires"] is not None
    assert message["headers"]["eta"] is None


def test_each_lane_s_bell_rings_in_its_own_queue_only(broker: redis.Redis) -> None:
    for lane in lanes.names():
        doorbell.ring(lane)
    rung(broker)
    assert {queue: broker.llen(queue) for queue in ("webhooks", "jobs", "exports", "housekeeping")} == {
        "webhooks": 1,
        "jobs": 1,
        "exports": 1,
        "housekeeping": 0,
    }


def test_a_lane_that_was_rung_is_not_rung_again_before_it_was_heard(broker: redis.Redis) -> None:
    for _ in range(5):
        doorbell.ring(LANE)
        assert rung(broker) == 1
    doorbell.heard(LANE)
    doorbell.ring(LANE)
    assert rung(broker) == 2


def test_the_poll_rings_also_where_an_earlier_ring_seems_lost(broker: redis.Redis, tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record()
    doorbell.ring(LANE)
    assert rung(broker) == 1
    broker.delete(LANE)  # lost, and its mark is still there
    lanes.poll([LANE], now=NOON)
    assert rung(broker) == 1


def test_a_lane_that_nobody_hung_does_not_silence_the_others(broker: redis.Redis) -> None:
    doorbell.ring("no-such-lane")
    assert doorbell.wait_published(10)
    doorbell.ring(LANE)
    assert rung(broker) == 1


def test_the_poll_rings_no_lane_without_due_work(broker: redis.Redis, tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record()
    lanes.poll(lanes.names(), now=NOON - timedelta(seconds=1))
    assert rung(broker) == 0
    assert broker.llen("exports") == 0


def test_a_lane_that_cannot_be_rescued_is_rung_all_the_same_and_so_are_those_after_it(
    broker: redis.Redis, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> Any:
        raise RuntimeError("no luck")

    monkeypatch.setattr(lanes, "_lanes", dict(lanes._lanes))
    lanes._lanes["jobs"] = replace(lanes._lanes["jobs"], rescue=broken)
    lanes._lanes["exports"] = replace(lanes._lanes["exports"], next_due=broken)
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record()
    job_in(tenant)
    lanes.poll(["jobs", "exports", LANE], now=NOON)
    assert rung(broker) == 1
    assert broker.llen("jobs") == 1
    assert [record.args for record in caplog.records if record.name == "jobs.lanes"] == [("jobs",), ("exports",)]


def test_the_bell_rings_on_commit_and_not_for_what_was_rolled_back(committed: None, broker: redis.Redis) -> None:
    tenant = open_tenant("Acme")
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    with transaction.atomic():
        tenant.record()
        transaction.set_rollback(True)
    assert rung(broker) == 0
    with transaction.atomic():
        tenant.record()
        assert rung(broker) == 0
    assert rung(broker) == 1


def test_without_beat_a_worker_polls_by_itself(
    committed: None, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_poll", None)
    tenant = open_tenant("Acme")
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    with transaction.atomic():
        tenant.record()
    assert rung(broker) == 1
    broker.flushall()
    assert WebhookDelivery.objects.due(now=NOON).exists()
    Tick.objects.claim(name="sweep", period=60)
    poll_if_beat_is_silent()
    assert worker._poll is None
    Tick.objects.all().delete()
    poll_if_beat_is_silent()
    assert worker._poll
    worker._poll.join()
    assert rung(broker) == 1
