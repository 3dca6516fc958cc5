"""Departing: from the claim to the wire. What cannot be sent goes aside; for the rest, the attempt is written first."""

import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple, Self

import orjson
from django.db import connection, transaction

from audit.encryption import HIDDEN, UnreadableSecret
from audit.ids import uuid7
from webhooks import settling
from webhooks.claiming import Claimed
from webhooks.models import Webhook
from webhooks.reading import read
from webhooks.rendering import Event, render_request
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request

UNREADABLE = "The webhook's secrets cannot be read: an operator of HyreLog has to restore the key to them."
UNRENDERABLE = "HyreLog could not make this request; its operators find the reason in their log."

# The rows are locked, so that a rescue comes either before this (then nothing is written, and nothing may be sent) or
# after it (then it finds the attempt, and calls it lost).
_RECORD = """
    WITH departure AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS departure (
            id uuid, delivery uuid, token uuid, company uuid, number int, url text, headers jsonb, body_sha256 text)
    ), held AS MATERIALIZED (
        SELECT departure.id FROM webhooks_webhookdelivery AS delivery
        JOIN departure ON departure.delivery = delivery.id AND departure.token = delivery.claim_token
        WHERE delivery.status = 'SENDING'
        ORDER BY delivery.id
        FOR NO KEY UPDATE OF delivery
    )
    INSERT INTO webhooks_webhookattempt (
        id, delivery_id, company_id, number, url, request_headers, body_sha256, started_at, result,
        kind, error, address, response_headers, response_body, timing, repeated)
    SELECT id, delivery, company, number, url, headers, body_sha256, %(now)s, 'sending',
        '', '', '', '{}', '', '{}', false
    FROM departure JOIN held USING (id)
    RETURNING id
"""

_NEEDED = (
    *("id", "url", "disabled_at", "deleted_at", "timeout_seconds", "retry_schedule", "previous_secret_until"),
    *("encrypted_secret", "encrypted_previous_secret", "encrypted_headers", "encrypted_authentication"),
)

logger = logging.getLogger(__name__)


class Departure(NamedTuple):
    """An attempt that is on record, and what is to be sent; or the outcome, where nothing can be.

    `schedule` is the webhook's own, if it has one.
    """

    attempt: uuid.UUID
    claimed: Claimed
    url: str
    request: Request | Outcome
    schedule: tuple[float, ...] | None
    masked: frozenset[str]


def depart(
    claimed: Sequence[Claimed], *, room: int, now: datetime, timeout: float
) -> tuple[list[Departure], list[Claimed]]:
    """Render a batch and put its attempts on record, in one statement, before anything leaves.

    Answers what departs, and what was handed back since it is beyond `room` bytes. Deliveries of a disabled webhook are
    held, those of a deleted one cancelled. Whatever else cannot be rendered is an attempt that fails, so that it stands
    in nobody's way and comes to an end. What was taken away is left out.
    """
    events = read([c.event_id for c in claimed], room=room)
    webhooks = _webhooks({c.webhook_id for c in claimed})
    departures, hold, cancel, hand_back = [], [], [], []
    opened_of: dict[uuid.UUID, _Opened] = {}
    for c in claimed:
        webhook, event = webhooks[c.webhook_id], events.get(c.event_id)
        if webhook.deleted_at is not None:
            cancel.append(c)
        elif not webhook.enabled:
            hold.append(c)
        elif event is None:
            hand_back.append(c)
        else:
            opened = opened_of.get(webhook.pk) or opened_of.setdefault(webhook.pk, _Opened.of(webhook, now=now))
            departures.append(_render(c, webhook, opened, event, now=now, timeout=timeout))
    settling.put_aside(hold=hold, cancel=cancel, hand_back=hand_back, now=now)
    return _record(departures, now=now), hand_back


def _webhooks(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Webhook]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(_NEEDED)} FROM webhooks_webhook WHERE id = ANY(%s)", [list(ids)])  # noqa: S608
        return {row[0]: _webhook(row) for row in cursor.fetchall()}


@lru_cache(maxsize=1024)  # a busy webhook is read many times a second and changed once a year
def _webhook(row: tuple[Any, ...]) -> Webhook:
    values = dict(zip(_NEEDED, row, strict=True))
    schedule = values.pop("retry_schedule")
    return Webhook(**values, retry_schedule=schedule and tuple(orjson.loads(schedule)))


@dataclass(frozen=True, slots=True)
class _Opened:
    """What of a webhook is encrypted, opened once for a batch; `secrets` is empty where it cannot be read."""

    secrets: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, webhook: Webhook, *, now: datetime) -> Self:
        try:
            return cls(webhook.signing_secrets(now=now), webhook.added_headers)
        except UnreadableSecret:
            logger.exception("The secrets of webhook %s cannot be read.", webhook.pk)
            return cls()


def _render(  # noqa: PLR0913  what a request is made of
    claimed: Claimed, webhook: Webhook, opened: _Opened, event: Event, *, now: datetime, timeout: float
) -> Departure:
    attempt = uuid7()
    request: Request | Outcome = Outcome(Kind.BLOCKED, error=UNREADABLE)
    try:
        if opened.secrets:
            request = render_request(
                event,
                url=webhook.url,
                secrets=opened.secrets,
                added=opened.headers,
                version=claimed.envelope_version,
                attempt=attempt,
                number=claimed.attempt,
                replay=claimed.replay,
                now=now,
                timeout=webhook.timeout_seconds or timeout,
            )
    except Exception:
        # A surprise, but one row's: raised, it would stop the whole lane, again and again.
        logger.exception("Delivery %s cannot be rendered.", claimed.id)
        request = Outcome(Kind.BLOCKED, error=UNRENDERABLE)
    return Departure(attempt, claimed, webhook.url, request, webhook.retry_schedule, masked=frozenset(opened.headers))


def _record(departures: Sequence[Departure], *, now: datetime) -> list[Departure]:
    if not departures:
        return []
    rows = [
        {
            "id": d.attempt,
            "delivery": d.claimed.id,
            "token": d.claimed.token,
            "company": d.claimed.company_id,
            "number": d.claimed.attempt,
            "url": d.url,
            **_sent(d),
        }
        for d in departures
    ]
    # In a transaction, so that it takes our word to commit: the server would finish a lone statement for a worker that
    # has died meanwhile, and put on record what was never sent.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RECORD, {"rows": orjson.dumps(rows).decode(), "now": now})
        recorded = {row[0] for row in cursor.fetchall()}
    return [d for d in departures if d.attempt in recorded]


def _sent(departure: Departure) -> dict[str, object]:
    request = departure.request
    if isinstance(request, Outcome):
        return {"headers": {}, "body_sha256": ""}
    headers = {name: HIDDEN if name in departure.masked else value for name, value in request.headers.items()}
    return {"headers": headers, "body_sha256": sha256(request.body).hexdigest()}
