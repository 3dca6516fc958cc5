"""Departing: from the claim to the wire. What cannot be sent goes aside; for the rest, the attempt is written first."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.ids import uuid7
from audit.models import AuditEvent
from webhooks import settling
from webhooks.claiming import Claimed
from webhooks.encryption import UnreadableSecret
from webhooks.models import Webhook, WebhookAttempt
from webhooks.rendering import render_request
from webhooks.sending.request import Request


@dataclass(frozen=True, slots=True)
class Departure:
    """A request that is on record, and the claim that it belongs to."""

    claimed: Claimed
    request: Request


def depart(claimed: Sequence[Claimed], *, now: datetime, timeout: float) -> list[Departure]:
    """Render a batch and put its attempts on record, in one statement, before anything leaves.

    Deliveries of a disabled webhook are held, those of a deleted one cancelled, those whose secret no key decrypts
    postponed for an hour: the key may yet be put back.
    """
    webhooks = Webhook.objects.in_bulk({c.webhook_id for c in claimed})
    secrets, unreadable = _secrets(webhooks)
    settling.put_aside(
        hold=[c for c in claimed if webhooks[c.webhook_id].deleted_at is None and not webhooks[c.webhook_id].enabled],
        cancel=[c for c in claimed if webhooks[c.webhook_id].deleted_at is not None],
        postpone=[c for c in claimed if c.webhook_id in unreadable],
        now=now,
    )
    leaving = [c for c in claimed if c.webhook_id in secrets]
    events = AuditEvent.objects.in_bulk({c.event_id for c in leaving})
    departures = []
    for c in leaving:
        request = render_request(
            events[c.event_id],
            url=webhooks[c.webhook_id].url,
            secrets=secrets[c.webhook_id],
            version=c.envelope_version,
            attempt=uuid7(),
            number=c.attempt,
            now=now,
            timeout=timeout,
        )
        departures.append(Departure(c, request))
    WebhookAttempt.objects.bulk_create(
        WebhookAttempt(
            id=d.request.id,
            company_id=d.claimed.company_id,
            delivery_id=d.claimed.id,
            number=d.claimed.attempt,
            url=d.request.url,
            started_at=now,
        )
        for d in departures
    )
    return departures


def _secrets(webhooks: dict[uuid.UUID, Webhook]) -> tuple[dict[uuid.UUID, list[str]], set[uuid.UUID]]:
    """The secrets of the webhooks that are on, and those of them that have an unreadable one."""
    secrets, unreadable = {}, set()
    for webhook in webhooks.values():
        if webhook.enabled:
            try:
                secrets[webhook.id] = [webhook.secret]
            except UnreadableSecret:
                unreadable.add(webhook.id)
    return secrets, unreadable
