"""Settling: many outcomes in one statement, each compared with its claim's token.

A stale worker's late answer changes nothing: its token is gone, and its attempt is on record as lost.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from audit.text import storable
from webhooks.claiming import Claimed
from webhooks.models.attempt import Result
from webhooks.policy import Verdict
from webhooks.sending.outcome import Kind, Outcome

_SETTLE = """
    WITH verdict AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS verdict (
            id uuid, token uuid, attempt uuid, status text, next_attempt_at timestamptz, failures int, error text,
            finished_at timestamptz, result text, kind text, http_status int, address text, headers jsonb, body text,
            timing jsonb, repeated bool)
    ), held AS MATERIALIZED (
        SELECT delivery.id FROM webhooks_webhookdelivery AS delivery
        JOIN verdict ON verdict.id = delivery.id AND verdict.token = delivery.claim_token
        WHERE delivery.status = 'SENDING'
        ORDER BY delivery.id
        FOR NO KEY UPDATE OF delivery
    ), settled AS (
        UPDATE webhooks_webhookdelivery AS delivery
        SET status = verdict.status, next_attempt_at = verdict.next_attempt_at, failures = verdict.failures,
            error = verdict.error, lost_in_a_row = 0, claim_token = NULL, claimed_by = NULL,
            completed_at = CASE WHEN verdict.next_attempt_at IS NULL THEN verdict.finished_at END
        FROM held JOIN verdict USING (id)
        WHERE delivery.id = held.id
        RETURNING delivery.id
    ), recorded AS (
        UPDATE webhooks_webhookattempt AS attempt
        SET result = verdict.result, finished_at = verdict.finished_at, kind = verdict.kind,
            http_status = verdict.http_status, error = verdict.error, address = verdict.address,
            response_headers = verdict.headers, response_body = verdict.body, timing = verdict.timing,
            repeated = verdict.repeated
        FROM settled JOIN verdict USING (id)
        WHERE attempt.id = verdict.attempt
    )
    SELECT id FROM settled
"""

_PUT_ASIDE = """
    WITH aside AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS aside (
            id uuid, token uuid, status text, next_attempt_at timestamptz, completed_at timestamptz)
    ), held AS MATERIALIZED (
        SELECT delivery.id FROM webhooks_webhookdelivery AS delivery
        JOIN aside ON aside.id = delivery.id AND aside.token = delivery.claim_token
        WHERE delivery.status = 'SENDING'
        ORDER BY delivery.id
        FOR NO KEY UPDATE OF delivery
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET attempt = attempt - 1, claim_token = NULL, claimed_by = NULL,
        status = aside.status, next_attempt_at = aside.next_attempt_at, completed_at = aside.completed_at
    FROM held JOIN aside USING (id)
    WHERE delivery.id = held.id
"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """An attempt that has ended, and what was decided of it."""

    claimed: Claimed
    attempt: uuid.UUID
    outcome: Outcome
    verdict: Verdict
    finished_at: datetime


def settle(settlements: Sequence[Settlement]) -> set[uuid.UUID]:
    """Write a batch; the ids of those deliveries whose claim still held."""
    if not settlements:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, {"rows": json.dumps([_row(s) for s in settlements])})
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
        *(_aside(c, "CANCELLED", completed_at=now.isoformat()) for c in cancel),
        *(_aside(c, "FAILED" if c.attempt > 1 else "PENDING", next_attempt_at=now.isoformat()) for c in hand_back),
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_PUT_ASIDE, {"rows": json.dumps(rows)})


def _row(settlement: Settlement) -> dict[str, Any]:
    outcome, verdict = settlement.outcome, settlement.verdict
    return {
        "id": str(settlement.claimed.id),
        "token": str(settlement.claimed.token),
        "attempt": str(settlement.attempt),
        "status": verdict.status,
        "next_attempt_at": verdict.next_attempt_at and verdict.next_attempt_at.isoformat(),
        "failures": verdict.failures,
        "error": storable(verdict.error)[:500],
        "finished_at": settlement.finished_at.isoformat(),
        "result": Result.DELIVERED if outcome.kind == Kind.DELIVERED else Result.FAILED,
        "kind": outcome.kind,
        "http_status": outcome.status,
        "address": outcome.address or "",
        "headers": {storable(name): storable(value) for name, value in outcome.headers.items()},
        "body": storable(outcome.body.decode(errors="replace")),
        "timing": asdict(outcome.timing),
        "repeated": outcome.repeated,
    }


def _aside(claimed: Claimed, status: str, **changes: str) -> dict[str, str]:
    return {"id": str(claimed.id), "token": str(claimed.token), "status": status, **changes}
