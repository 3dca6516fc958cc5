"""A wire full of requests that nobody answers still has places for those who do."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.leases import ProcessLease
from tests.conftest import NOON, Tenant, draft
from tests.receiver import Receiver, serve_receiver
from tests.webhooks.crowd import add_retries, add_webhooks
from webhooks import claiming
from webhooks.delivering import Sender
from webhooks.models import Endpoint, Webhook, WebhookDelivery
from webhooks.wire import Landed, Wire

pytestmark = pytest.mark.django_db


def test_endpoints_that_never_answer_leave_half_of_the_wire_to_others(
    tenant: Tenant, receiver: Receiver, sender: Callable[..., Sender], lease: ProcessLease
) -> None:
    """Half of 20 places. Nothing is known of these endpoints yet, and none of their requests is old."""
    receiver.gate.clear()
    for _ in range(5):
        Webhook.objects.register(company=tenant.company, url=receiver.url, events=["stuck"])
    tenant.record(*[draft(action="stuck") for _ in range(8)], now=timezone.now())
    looks: list[int] = []

    def look() -> uuid.UUID:
        looks.append(WebhookDelivery.objects.filter(status="SENDING").count())
        if len(looks) == 4:
            tenant.record(*[draft(action="quick") for _ in range(8)], now=timezone.now())
        return lease.process_id

    def stopping() -> bool:
        if quick.requests:
            receiver.gate.set()
        return bool(quick.requests)

    with serve_receiver() as quick:
        webhook = Webhook.objects.register(company=tenant.company, url=quick.url, events=["quick"])[0]
        Endpoint.objects.filter(pk=webhook.pk).update(slow=False)
        sender(process=look, clock=timezone.now, stopping=stopping).run()
    assert looks[:4] == [0, 10, 10, 10]
    assert WebhookDelivery.objects.filter(webhook=webhook, status="SUCCESS").exists()


def test_with_nothing_on_the_wire_the_other_webhooks_are_looked_at_without_a_pause(
    tenant: Tenant, sender: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "WEBHOOKS_MOST", 2)
    add_retries(tenant, add_webhooks(tenant.company, 21), due=NOON + timedelta(hours=1))
    waits: list[float] = []
    poll = Wire.poll

    def watched(wire: Wire, timeout: float) -> Landed:
        waits.append(timeout)
        return poll(wire, timeout)

    monkeypatch.setattr(Wire, "poll", watched)
    assert sender().run() == 0
    assert len(waits) == 11
    assert waits[:10] == [0.0] * 10  # and then that was all
