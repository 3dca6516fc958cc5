"""How a sender spends its time: when it looks, when it stays, when it leaves."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Verifier

from tests.conftest import NOON, Clock, Tenant, draft
from tests.receiver import Receiver
from webhooks import delivering
from webhooks.delivering import Sender
from webhooks.models import Endpoint, Webhook, WebhookAttempt, WebhookDelivery

MakeSender = Callable[..., Sender]
pytestmark = pytest.mark.django_db


def test_what_comes_up_while_it_lingers_is_delivered_by_it(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a bell that another process heard and could not follow; it would not look by itself for an hour."""
    monkeypatch.setattr(delivering, "LOOK_AGAIN", 3600)
    tenant.record()
    calls = count()

    def called() -> bytes:
        if receiver.wait_for(1, timeout=0) and next(calls) == 3:
            tenant.record()
        return b"rung" if WebhookDelivery.objects.count() == 2 else b""

    lingering = sender(linger=3600, calls=called, stopping=lambda: len(receiver.requests) == 2)
    assert lingering.run() == 2


def test_an_endpoint_s_slots_bound_what_is_on_the_wire_at_once(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender
) -> None:
    Endpoint.objects.update(slots=3)
    receiver.gate.clear()
    tenant.record(*[draft() for _ in range(10)])
    most: list[int] = []

    def release() -> bool:
        most.append(WebhookDelivery.objects.filter(status="SENDING").count())
        if len(receiver.requests) >= 3:
            receiver.gate.set()
        return False

    assert sender(stopping=release, slots=3).run() == 10
    assert max(most) == 3


def test_an_endpoint_that_answers_gets_more_slots_and_one_that_is_overloaded_half(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    Endpoint.objects.update(slots=4)
    tenant.record(draft(), draft())
    sender().run()
    endpoint = Endpoint.objects.get()
    assert (endpoint.slots, endpoint.slow, endpoint.failures_in_a_row) == (6, False, 0)
    receiver.status = 503
    tenant.record()
    sender().run()
    endpoint.refresh_from_db()
    assert (endpoint.slots, endpoint.failures_in_a_row, endpoint.failing_since) == (3, 1, NOON)


def test_a_webhook_s_own_schedule_is_followed(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    Webhook.objects.update(retry_schedule=[7])
    receiver.status = 500
    tenant.record()
    sender().run()
    due = WebhookDelivery.objects.get().next_attempt_at
    assert due
    assert 7 <= (due - NOON).total_seconds() <= 7.7
    clock.advance(seconds=8)
    sender().run()
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.next_attempt_at, delivery.attempt) == ("FAILED", None, 2)


def test_a_webhook_without_retries_has_one_attempt(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender
) -> None:
    Webhook.objects.update(retry_schedule=[])
    receiver.status = 500
    tenant.record()
    sender().run()
    assert (WebhookDelivery.objects.get().status, WebhookDelivery.objects.get().next_attempt_at) == ("FAILED", None)


def test_a_webhook_s_own_timeout_ends_its_requests(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender
) -> None:
    Webhook.objects.update(timeout_seconds=1)
    receiver.gate.clear()
    tenant.record()
    sender().run()
    attempt = WebhookAttempt.objects.get()
    assert (attempt.kind, "1 s" in attempt.error) == ("timeout", True)


def test_during_an_overlap_both_secrets_sign(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    clock.now = timezone.now()
    old = webhook.secret
    new = webhook.rotate_secret(now=clock.now, overlap=timedelta(hours=1))
    assert new
    tenant.record(now=clock.now)
    sender().run()
    request = receiver.requests[-1]
    for secret in (old, new):
        Verifier(secret).verify(request.body, request.headers)
    assert len(request.headers["webhook-signature"].split()) == 2


def test_the_attempt_log_keeps_what_was_sent_and_masks_what_is_secret(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender
) -> None:
    webhook.change(headers={"X-Token": "s3cret"}, authentication={"type": "bearer", "token": "s3cret"})
    tenant.record()
    sender().run()
    (request,) = receiver.requests
    assert (request.headers["x-token"], request.headers["authorization"]) == ("s3cret", "Bearer s3cret")
    attempt = WebhookAttempt.objects.get()
    assert (attempt.request_headers["X-Token"], attempt.request_headers["Authorization"]) == ("***", "***")
    assert attempt.request_headers["webhook-id"] == request.headers["webhook-id"]
    assert "s3cret" not in str(attempt.as_json())


def test_a_replay_says_so_and_keeps_its_id(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    tenant.record()
    sender().run()
    clock.advance(hours=1)
    WebhookDelivery.objects.redeliver(now=clock.now)
    sender().run()
    first, again = (request.headers for request in receiver.requests)
    assert "hyrelog-replay" not in first
    assert again["hyrelog-replay"] == "true"
    assert again["hyrelog-original-timestamp"] == "2026-01-31T12:00:00.000000Z"
    assert again["webhook-id"] == first["webhook-id"]
