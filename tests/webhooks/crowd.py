"""Many webhooks, with deliveries in any state, made quickly."""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.models import Company
from tests.conftest import NOON, Tenant, draft
from webhooks.models import Endpoint, Webhook, WebhookDelivery


def add_webhooks(company: Company, count: int, *, slow: bool = False, slots: int = 8, **fields: Any) -> list[Webhook]:
    """Webhooks that hear no event by themselves, in the order of their ids; their secrets are none."""
    known: dict[str, Any] = {"url": "https://example.com/", "events": [], "categories": []} | fields
    webhooks = Webhook.objects.bulk_create([Webhook(company=company, **known) for _ in range(count)])
    Endpoint.objects.bulk_create([Endpoint(webhook=webhook, slow=slow, slots=slots) for webhook in webhooks])
    return sorted(webhooks, key=lambda webhook: webhook.pk)


@transaction.atomic
def add_deliveries(
    tenant: Tenant, webhooks: Iterable[Webhook], count: int = 1, *, due: datetime = NOON, **fields: Any
) -> list[uuid.UUID]:
    """So many for each webhook; fresh ones, unless `fields` say otherwise. The last is due at `due`."""
    events = tenant.record(*[draft() for _ in range(count)])
    deliveries = [
        WebhookDelivery(
            company_id=webhook.company_id,
            webhook=webhook,
            event_id=event.id,
            created_at=NOON,
            **({"next_attempt_at": due - timedelta(microseconds=count - 1 - n)} | fields),
        )
        for webhook in webhooks
        for n, event in enumerate(events)
    ]
    return [delivery.pk for delivery in WebhookDelivery.objects.bulk_create(deliveries)]


def add_retries(tenant: Tenant, webhooks: Iterable[Webhook], count: int = 1, **fields: Any) -> list[uuid.UUID]:
    failed: dict[str, Any] = {"status": "FAILED", "attempt": 1, "failures": 1}
    return add_deliveries(tenant, webhooks, count, **(failed | fields))


def land(claimed_ids: Iterable[uuid.UUID]) -> None:
    """As if these were delivered."""
    WebhookDelivery.objects.filter(pk__in=list(claimed_ids)).update(
        status="SUCCESS", claim_token=None, claimed_by=None, completed_at=NOON
    )
