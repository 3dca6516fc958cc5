"""Sending one delivery again through the API."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from jobs import doorbell
from tests.api import Api
from tests.conftest import NOON, Tenant
from tests.receiver import Receiver
from webhooks.delivering import Sender
from webhooks.models import Webhook, WebhookDelivery

DELIVERIES = "/v1/key/company/deliveries"


@pytest.fixture
def delivery(tenant: Tenant, webhook: Webhook) -> WebhookDelivery:
    tenant.record()
    return WebhookDelivery.objects.get()


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert doorbell.wait_published(10)
        client.flushall()
        yield client
        assert doorbell.wait_published(10)
        client.flushall()


def put(delivery: WebhookDelivery, **columns: Any) -> None:
    WebhookDelivery.objects.filter(pk=delivery.pk).update(**columns)


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "CANCELLED"])
def test_a_delivery_at_rest_is_due_at_once_and_its_round_begins_anew(
    committed: None, api: Api, delivery: WebhookDelivery, status: str
) -> None:
    put(delivery, status=status, next_attempt_at=None, attempt=5, failures=5, completed_at=NOON)
    before = timezone.now()
    answer = api.post(f"{DELIVERIES}/{delivery.id}/redeliver")
    delivery.refresh_from_db()
    assert (answer.status_code, answer.json()) == (200, delivery.as_json())
    assert (delivery.status, delivery.attempt, delivery.failures, delivery.replay) == ("PENDING", 5, 0, True)
    assert delivery.next_attempt_at is not None
    assert before <= delivery.next_attempt_at <= timezone.now()
    assert answer.json()["replay"] is True


def test_a_redelivery_comes_under_the_same_id_and_is_added_to_the_log(
    api: Api, tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    tenant.record()
    sender().run()
    delivery = WebhookDelivery.objects.get()
    assert delivery.status == "SUCCESS"
    assert api.post(f"{DELIVERIES}/{delivery.id}/redeliver").status_code == 200
    sender(clock=timezone.now).run()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    shown = api.get(f"{DELIVERIES}/{delivery.id}").json()
    assert (shown["status"], [attempt["number"] for attempt in shown["attemptLog"]]) == ("SUCCESS", [1, 2])


@pytest.mark.parametrize(
    ("columns", "code", "reason"),
    [
        ({"status": "PENDING", "next_attempt_at": NOON}, "waiting", "2026-01-31T12:00:00.000000Z"),
        ({"status": "FAILED", "next_attempt_at": NOON}, "waiting", "waits for its next attempt"),
        ({"status": "HELD", "next_attempt_at": None}, "held", "enable the webhook"),
        (
            {
                "status": "SENDING",
                "next_attempt_at": None,
                "claim_token": uuid.UUID(int=1),
                "claimed_by": uuid.UUID(int=1),
            },
            "sending",
            "on the wire",
        ),
    ],
)
def test_what_is_not_at_rest_is_left_alone_and_said_why(
    api: Api, delivery: WebhookDelivery, columns: dict[str, Any], code: str, reason: str
) -> None:
    put(delivery, **columns)
    before = WebhookDelivery.objects.values().get()
    answer = api.post(f"{DELIVERIES}/{delivery.id}/redeliver")
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert reason in answer.json()["error"]
    assert WebhookDelivery.objects.values().get() == before


def test_nothing_is_sent_again_to_a_deleted_webhook(api: Api, webhook: Webhook, delivery: WebhookDelivery) -> None:
    webhook.delete_softly(now=NOON)
    answer = api.post(f"{DELIVERIES}/{delivery.id}/redeliver")
    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_deleted")
    assert api.get(f"{DELIVERIES}/{delivery.id}").json()["status"] == "CANCELLED"


def test_the_bell_rings_for_a_redelivery_and_for_an_enabled_webhook_once_they_are_committed(
    api: Api, webhook: Webhook, delivery: WebhookDelivery, broker: redis.Redis, django_capture_on_commit_callbacks: Any
) -> None:
    put(delivery, status="FAILED", next_attempt_at=None)
    for url in (f"{DELIVERIES}/{delivery.id}/redeliver", f"/v1/key/company/webhooks/{webhook.id}/enable"):
        broker.flushall()
        with django_capture_on_commit_callbacks(execute=True):
            assert api.post(url).status_code == 200
            assert doorbell.wait_published(10)
            assert broker.llen("webhooks") == 0
        assert doorbell.wait_published(10)
        assert broker.llen("webhooks") == 1
