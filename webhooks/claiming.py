"""Claiming deliveries, and taking back what dead processes had claimed.

Each is one short statement over a partial index, whatever the size of the table.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from webhooks.models import WebhookDelivery
from webhooks.policy import LOST_LIMIT

# A row is taken only for a process whose lease is alive: a stale one would take what it cannot keep.
_CLAIM = """
    WITH due AS MATERIALIZED (
        SELECT id FROM webhooks_webhookdelivery
        WHERE next_attempt_at <= %(now)s
          AND EXISTS (SELECT FROM jobs_workerprocess WHERE id = %(process)s AND lease_expires_at > now())
        ORDER BY next_attempt_at, id
        LIMIT %(limit)s
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET status = 'SENDING', next_attempt_at = NULL, attempt = attempt + 1,
        claim_token = %(token)s, claimed_by = %(process)s
    FROM due
    WHERE delivery.id = due.id
    RETURNING delivery.id, delivery.event_id, delivery.webhook_id, delivery.company_id, delivery.attempt,
              delivery.failures, delivery.envelope_version
"""

# What died before its request was on record was never sent: its claim is undone. What died after may have arrived. Both
# are repeated at once, outside the schedule, until their worker died ten times in a row: then something about them may
# be what kills it.
# The orphans are locked by a statement of their own: whoever was just putting an attempt on record has done so by then,
# and the next statement sees it.
_ORPHANS = """
    SELECT id FROM webhooks_webhookdelivery AS delivery
    WHERE status = 'SENDING' AND NOT EXISTS (
        SELECT FROM jobs_workerprocess AS process
        WHERE process.id = delivery.claimed_by AND process.lease_expires_at > now()
    )
    ORDER BY id
    LIMIT 1000
    FOR NO KEY UPDATE SKIP LOCKED
"""

_RESCUE = """
    WITH orphan AS (
        SELECT unnest(%(ids)s::uuid[]) AS id
    ), lost AS (
        UPDATE webhooks_webhookattempt AS attempt
        SET result = 'lost', finished_at = %(now)s,
            error = 'The worker died with this request on the wire: it may have been delivered.'
        FROM orphan
        WHERE attempt.delivery_id = orphan.id AND attempt.result = 'sending'
        RETURNING attempt.delivery_id
    ), verdict AS (
        SELECT delivery.id, lost.delivery_id IS NULL AS unsent, delivery.lost_in_a_row + 1 >= %(limit)s AS over
        FROM orphan
        JOIN webhooks_webhookdelivery AS delivery USING (id)
        LEFT JOIN lost ON lost.delivery_id = orphan.id
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET status = CASE WHEN unsent AND attempt = 1 AND NOT over THEN 'PENDING' ELSE 'FAILED' END,
        attempt = CASE WHEN unsent THEN attempt - 1 ELSE attempt END,
        lost_in_a_row = lost_in_a_row + 1,
        next_attempt_at = CASE WHEN NOT over THEN %(now)s::timestamptz END,
        completed_at = CASE WHEN over THEN %(now)s::timestamptz END,
        error = CASE WHEN over THEN 'Given up: the worker died ' || lost_in_a_row + 1 || ' times in a row on it.'
                     WHEN unsent THEN error ELSE 'The worker died during the last attempt.' END,
        claim_token = NULL, claimed_by = NULL
    FROM verdict
    WHERE delivery.id = verdict.id
"""

# What is held for an enabled webhook and is not to stay held: what its enabling was to recover, and an event that was
# planned while it was just being enabled. And whatever is held for a deleted one.
_LET_GO = """
    WITH stranded AS MATERIALIZED (
        SELECT delivery.id, webhook.deleted_at IS NOT NULL AS over
        FROM webhooks_webhook AS webhook
        CROSS JOIN LATERAL (
            SELECT id FROM webhooks_webhookdelivery
            WHERE webhook_id = webhook.id AND status = 'HELD' AND created_at >= CASE
                WHEN webhook.deleted_at IS NULL THEN coalesce(webhook.held_before, '-infinity') ELSE '-infinity' END
            ORDER BY created_at
            LIMIT 5000
        ) AS delivery
        WHERE webhook.disabled_at IS NULL OR webhook.deleted_at IS NOT NULL
        LIMIT 5000
    ), locked AS MATERIALIZED (
        SELECT id, over FROM webhooks_webhookdelivery AS delivery JOIN stranded USING (id)
        WHERE delivery.status = 'HELD'
        ORDER BY id
        FOR NO KEY UPDATE OF delivery SKIP LOCKED
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET status = CASE WHEN over THEN 'CANCELLED' WHEN attempt = 0 THEN 'PENDING' ELSE 'FAILED' END,
        next_attempt_at = CASE WHEN NOT over THEN %(now)s::timestamptz END,
        completed_at = CASE WHEN over THEN %(now)s::timestamptz END
    FROM locked
    WHERE delivery.id = locked.id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this process holds, as it was when it was claimed."""

    id: uuid.UUID
    event_id: uuid.UUID
    webhook_id: uuid.UUID
    company_id: uuid.UUID
    attempt: int
    failures: int
    envelope_version: int
    token: uuid.UUID


def has_due(*, now: datetime) -> bool:
    """Whether a delivery is due."""
    return WebhookDelivery.objects.due(now=now).exists()


def claim(*, process: uuid.UUID, limit: int, now: datetime) -> list[Claimed]:
    """Take at most `limit` due deliveries, the longest due first, for a process whose lease is alive."""
    token = uuid.uuid4()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"process": process, "limit": limit, "now": now, "token": token})
        return [Claimed(*[*row, token]) for row in cursor.fetchall()]


def rescue(*, now: datetime) -> int:
    """Make the deliveries of dead processes due again, and let go of what is held for nobody; says how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ORPHANS)
        orphans = [row[0] for row in cursor.fetchall()]
        if orphans:
            cursor.execute(_RESCUE, {"ids": orphans, "now": now, "limit": LOST_LIMIT})
    with connection.cursor() as cursor:
        cursor.execute(_LET_GO, {"now": now})
        return len(orphans) + int(cursor.rowcount)
