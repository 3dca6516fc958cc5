"""Taking back what dead processes had claimed, and letting go of what is held for nobody.

Each is a short statement over a partial index, whatever the size of the table.
"""

from datetime import datetime

from django.db import connection, transaction

from webhooks.policy import LOST_LIMIT

# What died before its request was on record was never sent: its claim is undone, and it is not given up. What died
# after it may have arrived. Both are repeated outside the schedule and at once, the latter until their worker died ten
# times in a row: then something about them may be what kills it. What is unsent again and again waits for some seconds,
# by lot: so one that kills its worker is soon claimed without those that were claimed with it.
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
        FROM orphan JOIN webhooks_webhookdelivery AS delivery USING (id)
        WHERE attempt.delivery_id = orphan.id AND attempt.number = delivery.attempt AND attempt.result = 'sending'
        RETURNING attempt.delivery_id
    ), verdict AS (
        SELECT delivery.id, lost.delivery_id IS NULL AS unsent,
            lost.delivery_id IS NOT NULL AND delivery.lost_in_a_row + 1 >= %(limit)s AS over
        FROM orphan
        JOIN webhooks_webhookdelivery AS delivery USING (id)
        LEFT JOIN lost ON lost.delivery_id = orphan.id
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET status = CASE WHEN unsent AND attempt = 1 AND NOT over THEN 'PENDING' ELSE 'FAILED' END,
        attempt = CASE WHEN unsent THEN attempt - 1 ELSE attempt END,
        lost_in_a_row = lost_in_a_row + 1,
        next_attempt_at = CASE WHEN unsent THEN %(now)s + least(lost_in_a_row, 15) * random() * interval '1 second'
                               WHEN NOT over THEN %(now)s::timestamptz END,
        completed_at = CASE WHEN over THEN %(now)s::timestamptz END,
        error = CASE WHEN over THEN 'Given up: the worker died ' || lost_in_a_row + 1 || ' times in a row on it.'
                     WHEN unsent THEN error ELSE 'The worker died during the last attempt.' END,
        claim_token = NULL, claimed_by = NULL
    FROM verdict
    WHERE delivery.id = verdict.id
"""

# What is held for an enabled webhook and is not to stay held: what its enabling was to recover, and an event that was
# planned while it was just being enabled. And whatever is held for a deleted one. A limit that the planner cannot read
# keeps it from taking all of a webhook's rows to sort them, though the index has them in order.
_LET_GO = """
    WITH stranded AS MATERIALIZED (
        SELECT delivery.id FROM webhooks_webhook AS webhook
        CROSS JOIN LATERAL (
            SELECT id FROM webhooks_webhookdelivery
            WHERE webhook_id = webhook.id AND status = 'HELD' AND created_at >= CASE
                WHEN webhook.deleted_at IS NULL THEN coalesce(webhook.held_before, '-infinity') ELSE '-infinity' END
            ORDER BY created_at
            LIMIT (SELECT 5000)
        ) AS delivery
        WHERE webhook.disabled_at IS NULL OR webhook.deleted_at IS NOT NULL
        LIMIT 5000
    ), locked AS MATERIALIZED (
        SELECT id FROM webhooks_webhookdelivery
        WHERE id = ANY (ARRAY(SELECT id FROM stranded)) AND status = 'HELD'
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE webhooks_webhookdelivery AS delivery
    SET (status, next_attempt_at, completed_at) = (
        SELECT CASE WHEN deleted_at IS NOT NULL THEN 'CANCELLED' WHEN attempt = 0 THEN 'PENDING' ELSE 'FAILED' END,
               CASE WHEN deleted_at IS NULL THEN %(now)s::timestamptz END,
               CASE WHEN deleted_at IS NOT NULL THEN %(now)s::timestamptz END
        FROM webhooks_webhook AS webhook WHERE webhook.id = webhook_id
    )
    WHERE delivery.id = ANY (ARRAY(SELECT id FROM locked))
"""


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
