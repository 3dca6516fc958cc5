"""Departing: from the claim to the wire. What cannot be sent goes aside; for the rest, the attempt is written first."""

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import connection, transaction

from audit.ids import uuid7
from audit.models import AuditEvent
from webhooks import settling
from webhooks.claiming import Claimed
from webhooks.encryption import UnreadableSecret
from webhooks.models import Webhook
from webhooks.rendering import render_request
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request

UNREADABLE = "The webhook's signing secret cannot be read: an operator of HyreLog has to restore the key to it."
UNRENDERABLE = "HyreLog could not make this request; its operators find the reason in their log."

# The rows are locked, so that a rescue comes either before this (then nothing is written, and nothing may be sent) or
# after it (then it finds the attempt, and calls it lost).
_RECORD = """
    WITH departure AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS departure (
            id uuid, delivery uuid, token uuid, company uuid, number int, url text)
    ), held AS MATERIALIZED (
        SELECT delivery.id FROM webhooks_webhookdelivery AS delivery
        JOIN departure ON departure.delivery = delivery.id AND departure.token = delivery.claim_token
        WHERE delivery.status = 'SENDING'
        ORDER BY delivery.id
        FOR NO KEY UPDATE OF delivery
    )
    INSERT INTO webhooks_webhookattempt (
        id, delivery_id, company_id, number, url, request_headers, body_sha256, started_at, result,
        kind, error, address, response_headers, response_body, timing, repeated)
    SELECT departure.id, delivery, company, number, url, '{}', '', %(now)s, 'sending', '', '', '', '{}', '', '{}', false
    FROM departure JOIN held ON held.id = departure.delivery
    RETURNING id
"""

_SIZES = """
    SELECT id, coalesce(octet_length(payload::text), 0) + coalesce(octet_length(metadata::text), 0)
        + coalesce(octet_length(changes::text), 0) + coalesce(octet_length(actor::text), 0)
        + coalesce(octet_length(target::text), 0) + 1024
    FROM audit_auditevent WHERE id = ANY(%s)
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Departure:
    """An attempt that is on record, and what is to be sent; or the outcome, where nothing can be."""

    attempt: uuid.UUID
    claimed: Claimed
    url: str
    request: Request | Outcome


def within(claimed: Sequence[Claimed], *, room: int, now: datetime) -> list[Claimed]:
    """The first of a batch whose events take at most `room` bytes, and one in any case; the others are handed back.

    Asked before the events are read: a batch of the largest ones would take more memory than a worker should have.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SIZES, [[c.event_id for c in claimed]])
        sizes: dict[uuid.UUID, int] = dict(cursor.fetchall())
    total, most = 0, 0
    for c in claimed:
        total += sizes[c.event_id]
        if total > room and most:
            break
        most += 1
    settling.put_aside(hand_back=claimed[most:], now=now)
    return list(claimed[:most])


def depart(claimed: Sequence[Claimed], *, now: datetime, timeout: float) -> list[Departure]:
    """Render a batch and put its attempts on record, in one statement, before anything leaves.

    Deliveries of a disabled webhook are held, those of a deleted one cancelled. Whatever else cannot be rendered is an
    attempt that fails, so that it stands in nobody's way and comes to an end. What was taken away is left out.
    """
    webhooks = Webhook.objects.in_bulk({c.webhook_id for c in claimed})
    events = AuditEvent.objects.in_bulk({c.event_id for c in claimed})
    departures, hold, cancel = [], [], []
    for c in claimed:
        webhook = webhooks[c.webhook_id]
        if webhook.deleted_at is not None:
            cancel.append(c)
        elif not webhook.enabled:
            hold.append(c)
        else:
            attempt = uuid7()
            make = partial(
                render_request,
                events[c.event_id],
                url=webhook.url,
                version=c.envelope_version,
                attempt=attempt,
                number=c.attempt,
                now=now,
                timeout=timeout,
            )
            request = _render(c, webhook, make)
            departures.append(Departure(attempt, c, webhook.url, request))
    settling.put_aside(hold=hold, cancel=cancel, now=now)
    return _record(departures, now=now)


def _render(claimed: Claimed, webhook: Webhook, make: Callable[..., Request]) -> Request | Outcome:
    try:
        return make(secrets=[webhook.secret])
    except UnreadableSecret:
        logger.exception("The secret of webhook %s cannot be read.", webhook.pk)
        return Outcome(Kind.BLOCKED, error=UNREADABLE)
    except Exception:
        # A surprise, but one row's: raised, it would stop the whole lane, again and again.
        logger.exception("Delivery %s cannot be rendered.", claimed.id)
        return Outcome(Kind.BLOCKED, error=UNRENDERABLE)


def _record(departures: Sequence[Departure], *, now: datetime) -> list[Departure]:
    if not departures:
        return []
    rows = [
        {
            "id": str(d.attempt),
            "delivery": str(d.claimed.id),
            "token": str(d.claimed.token),
            "company": str(d.claimed.company_id),
            "number": d.claimed.attempt,
            "url": d.url,
        }
        for d in departures
    ]
    # In a transaction, so that it takes our word to commit: the server would finish a lone statement for a worker that
    # has died meanwhile, and put on record what was never sent.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RECORD, {"rows": json.dumps(rows), "now": now})
        recorded = {row[0] for row in cursor.fetchall()}
    return [d for d in departures if d.attempt in recorded]
