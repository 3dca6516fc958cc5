"""Settling: many outcomes in one statement, each compared with its claim's token.

A stale worker's late answer changes nothing: its token is gone, and its attempt is on record as lost.
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import connection

from audit.text import storable
from webhooks.claiming import Claimed
from webhooks.models.attempt import Result
from webhooks.policy import Verdict
from webhooks.sending.outcome import Kind, Outcome, Timing

_SETTLE = """
    WITH verdict AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS verdict (
            id uuid, token uuid, attempt uuid, status text, next_attempt_at timestamptz, failures int, error text,
            finished_at timestamptz, result text, kind text, http_status int, address text, headers jsonb, body text,
            timing jsonb, repeated bool)
    ), held AS MATERIALIZED (
        SELECT verdict.* FROM webhooks_webhookdelivery AS delivery
        JOIN verdict ON verdict.id = delivery.id AND verdict.token = delivery.claim_token
        WHERE delivery.status = 'SENDING'
        ORDER BY delivery.id
        FOR NO KEY UPDATE OF delivery
    ), settled AS (
        UPDATE webhooks_webhookdelivery AS delivery
        SET status = held.status, next_attempt_at = held.next_attempt_at, failures = held.failures,
            error = held.error, lost_in_a_row = 0, claim_token = NULL, claimed_by = NULL,
            completed_at = CASE WHEN held.next_attempt_at IS NULL THEN held.finished_at END
        FROM held
        WHERE delivery.id = held.id
        RETURNING held.*
    ), recorded AS (
        UPDATE webhooks_webhookattempt AS attempt
        SET result = settled.result, finished_at = settled.finished_at, kind = settled.kind,
            http_status = settled.http_status, error = settled.error, address = settled.address,
            response_headers = settled.headers, response_body = settled.body, timing = settled.timing,
            repeated = settled.repeated
        FROM settled
        WHERE attempt.id = settled.attempt
    )
    SELECT id FROM settled
"""

_PUT_ASIDE = """
    WITH aside AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS aside (
            id uuid, token uuid, status text, next_attempt_at timestamptz, completed_at timestamptz)
    ), held AS MATERIALIZED (
        SELECT aside.* FROM webhooks_webhookdelivery AS delivery
        JOIN aside ON aside.id = delivery.id AND aside.token = delivery.claim_token
        WHERE delivery.status = 'SENDING'
        ORDER BY delivery.id
        FOR NO KEY UPDATE OF delivery
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET attempt = attempt - 1, claim_token = NULL, claimed_by = NULL,
        status = held.status, next_attempt_at = held.next_attempt_at, completed_at = held.completed_at
    FROM held
    WHERE delivery.id = held.id
"""


class Settlement(NamedTuple):
    """An attempt that has ended, and what was decided of it."""

    claimed: Claimed
    attempt: uuid.UUID
    url: str
    outcome: Outcome
    verdict: Verdict
    finished_at: datetime
    left: bool = True
    """Whether anything was sent, so that the outcome says something about the endpoint."""


def settle(settlements: Sequence[Settlement]) -> set[uuid.UUID]:
    """Write a batch; the ids of those deliveries whose claim still held."""
    if not settlements:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, {"rows": _json([_row(s) for s in settlements])})
        return {row[0] for row in cursor.fetchall()}


def put_aside(
    *,
    hold: Iterable[Claimed] = (),
    cancel: Iterable[Claimed] = (),
    hand_back: Iterable[Claimed] = (),
    now: datetime,
) -> None:
    """Undo claims of which nothing was sent: for a disabled webhook, for a deleted one, for want of room."""
    rows = [
        *(_aside(c, "HELD") for c in hold),
        *(_aside(c, "CANCELLED", completed_at=now) for c in cancel),
        *(_aside(c, "FAILED" if c.attempt > 1 else "PENDING", next_attempt_at=now) for c in hand_back),
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_PUT_ASIDE, {"rows": _json(rows)})


def _row(settlement: Settlement) -> dict[str, Any]:
    outcome, verdict = settlement.outcome, settlement.verdict
    return {
        "id": settlement.claimed.id,
        "token": settlement.claimed.token,
        "attempt": settlement.attempt,
        "status": verdict.status,
        "next_attempt_at": verdict.next_attempt_at,
        "failures": verdict.failures,
        "error": storable(verdict.error)[:500],
        "finished_at": settlement.finished_at,
        "result": Result.DELIVERED if outcome.kind == Kind.DELIVERED else Result.FAILED,
        "kind": outcome.kind,
        "http_status": outcome.status,
        "address": outcome.address or "",
        "headers": {storable(name): storable(value) for name, value in outcome.headers.items()},
        "body": storable(outcome.body.decode(errors="replace")),
        "timing": dict(zip(Timing._fields, outcome.timing, strict=True)),
        "repeated": outcome.repeated,
    }


def _aside(claimed: Claimed, status: str, **changes: datetime) -> dict[str, Any]:
    return {"id": claimed.id, "token": claimed.token, "status": status, **changes}


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
