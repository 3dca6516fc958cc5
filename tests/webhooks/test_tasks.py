"""The task behind the bell, with a real broker: what it does, and whom it rings afterwards."""

from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from jobs import doorbell, slots, worker
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import WorkerProcess
from tests.conftest import NOON, Tenant
from tests.receiver import Receiver
from webhooks.models import Webhook, WebhookDelivery
from webhooks.tasks import deliver


@pytest.fixture(autouse=True)
def broker(lease: ProcessLease, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    monkeypatch.setattr(worker, "_lease", lease)
    slots.divide(4)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert doorbell.wait_published(10)
        client.flushall()
        yield client
        assert doorbell.wait_published(10)
        client.flushall()


def rung(broker: redis.Redis, queue: str) -> int:
    assert doorbell.wait_published(10)
    return int(broker.llen(queue))


def test_it_delivers_what_is_due_and_rings_nobody_when_all_is_done(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, broker: redis.Redis
) -> None:
    tenant.record()
    deliver()
    assert WebhookDelivery.objects.get().status == "SUCCESS"
    assert rung(broker, "webhooks") == 0


def test_once_it_has_begun_to_look_the_next_ring_is_news_again(broker: redis.Redis) -> None:
    doorbell.ring("webhooks")
    assert rung(broker, "webhooks") == 1
    deliver()
    doorbell.ring("webhooks")
    assert rung(broker, "webhooks") == 2


def test_after_work_it_rings_for_others_whose_bell_was_turned_away(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, broker: redis.Redis
) -> None:
    enqueue("gdpr.export", {"scope": "company"}, company=tenant.company, now=NOON)
    tenant.record()
    deliver()
    assert rung(broker, "exports") == 1


def test_where_nothing_can_be_claimed_it_does_not_ring_itself(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, lease: ProcessLease, broker: redis.Redis
) -> None:
    tenant.record()
    _ = lease.process_id
    WorkerProcess.objects.update(lease_expires_at=NOON)
    deliver()
    assert WebhookDelivery.objects.due(now=timezone.now()).exists()
    assert rung(broker, "webhooks") == 0
