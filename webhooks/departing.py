"""Departing: from the claim to the wire. What cannot be sent goes aside; for the rest, the attempt is written first."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.ids import uuid7
from audit.models import AuditEvent
from webhooks import settling
from webhooks.claiming import Claimed
from webhooks.models import Webhook, WebhookAttempt
from webhooks.rendering import render_request
from webhooks.sending.request import Request

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Departure:
    """A request that is on record, and the claim that it belongs to."""

    claimed: Claimed
    request: Request


def depart(claimed: Sequence[Claimed], *, now: datetime, timeout: float) -> list[Departure]:
    """Render a batch and put its attempts on record, in one statement, before anything leaves.

    Deliveries of a disabled webhook are held, those of a deleted one cancelled. One that cannot be rendered (no key
    decrypts its secret, say) is postponed with the reason on it, so that it stands in nobody else's way.
    """
    webhooks = Webhook.objects.in_bulk({c.webhook_id for c in claimed})
    events = AuditEvent.objects.in_bulk({c.event_id for c in claimed})
    departures, hold, cancel, postpone = [], [], [], []
    for c in claimed:
        webhook = webhooks[c.webhook_id]
        if webhook.deleted_at is not None:
            cancel.append(c)
        elif not webhook.enabled:
            hold.append(c)
        else:
            try:
                departures.append(Departure(c, _render(c, events[c.event_id], webhook, now=now, timeout=timeout)))
            except Exception as error:
                logger.exception("Delivery %s cannot be rendered; it is postponed.", c.id)
                postpone.append((c, f"The request cannot be made: {error}"))
    settling.put_aside(hold=hold, cancel=cancel, postpone=postpone, now=now)
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


def _render(claimed: Claimed, event: AuditEvent, webhook: Webhook, *, now: datetime, timeout: float) -> Request:
    return render_request(
        event,
        url=webhook.url,
        secrets=[webhook.secret],
        version=claimed.envelope_version,
        attempt=uuid7(),
        number=claimed.attempt,
        now=now,
        timeout=timeout,
    )
