"""Claiming deliveries: one short statement over partial indexes, whatever the size of the table."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from webhooks.models import WebhookDelivery
from webhooks.models.delivery import BACKLOG, FRESH

WEBHOOKS_MOST = 250
"""Webhooks that one claim looks at, of those that have something; the next claim goes on behind them."""
RATE_BURST = timedelta(seconds=0.1)
"""How far ahead of its rate an endpoint may be."""

# First the webhooks that have something, found by skipping from one to the next in the index; then, of each in turn, as
# much as its endpoint may still have on the wire. Those with the least on the wire come first, and between equals the
# lot decides: any fixed order would let the last ones starve. Fresh deliveries have seven of eight places, retries and
# replays the eighth, drawn by lot too, so that it also holds where places come free one by one; what either leaves is
# the other's. Slow endpoints together get no more than their own places.
#
# An endpoint's row is locked while its deliveries are claimed, so that no two processes give it the same slot. Whoever
# finds it locked leaves it to the other; so does whoever counted before the other and locked after it: `claims`, which
# the lock reads anew, is not what was seen then. Only for a process whose lease is alive: a stale one would take what
# it cannot keep. Rate limits are kept by the generic cell rate algorithm (ITU-T I.371), tolerating as much as comes up
# between two looks.
#
# Each order names the columns of the index that is meant, so that the planner has no reason to prefer another, whatever
# it knows of the table. What is due of the backlog is a range of webhook and time, lest it be read by the time alone,
# over the rows of all webhooks. Rows are fetched by arrays of ids, of which no join over the whole table is made.
_CLAIM = """
    WITH RECURSIVE fresh (webhook_id, due, place) AS (
        (SELECT webhook_id, next_attempt_at, 1 FROM webhooks_webhookdelivery
         WHERE status = 'PENDING' AND NOT replay AND webhook_id > %(after_fresh)s
         ORDER BY webhook_id, next_attempt_at LIMIT 1)
        UNION ALL
        SELECT following.webhook_id, next_attempt_at, place + 1 FROM fresh CROSS JOIN LATERAL (
            SELECT webhook_id, next_attempt_at FROM webhooks_webhookdelivery
            WHERE status = 'PENDING' AND NOT replay AND webhook_id > fresh.webhook_id
            ORDER BY webhook_id, next_attempt_at LIMIT 1) AS following
        WHERE place < %(webhooks)s
    ), backlog (webhook_id, due, place) AS (
        (SELECT webhook_id, next_attempt_at, 1 FROM webhooks_webhookdelivery
         WHERE next_attempt_at IS NOT NULL AND (status = 'FAILED' OR replay) AND webhook_id > %(after_backlog)s
         ORDER BY webhook_id, next_attempt_at LIMIT 1)
        UNION ALL
        SELECT following.webhook_id, next_attempt_at, place + 1 FROM backlog CROSS JOIN LATERAL (
            SELECT webhook_id, next_attempt_at FROM webhooks_webhookdelivery
            WHERE next_attempt_at IS NOT NULL AND (status = 'FAILED' OR replay) AND webhook_id > backlog.webhook_id
            ORDER BY webhook_id, next_attempt_at LIMIT 1) AS following
        WHERE place < %(webhooks)s
    ), ready AS MATERIALIZED (
        SELECT webhook_id FROM fresh WHERE due <= %(now)s
        UNION
        SELECT webhook_id FROM backlog WHERE due <= %(now)s
    ), seen AS MATERIALIZED (
        SELECT webhook_id, claims, (
            SELECT count(*) FROM webhooks_webhookdelivery AS delivery
            WHERE delivery.webhook_id = endpoint.webhook_id AND status = 'SENDING') AS in_flight
        FROM webhooks_endpoint AS endpoint
        WHERE webhook_id = ANY (ARRAY(SELECT webhook_id FROM ready))
          AND EXISTS (SELECT FROM jobs_workerprocess WHERE id = %(process)s AND lease_expires_at > now())
    ), open AS MATERIALIZED (
        SELECT webhook_id, slow OR webhook_id = ANY(%(stuck)s) AS slow, in_flight,
            least(slots, %(slots)s) - in_flight AS free, rate_limit, greatest(rate_spent_until, %(now)s) AS spent
        FROM webhooks_endpoint AS endpoint
        JOIN seen USING (webhook_id)
        JOIN webhooks_webhook AS webhook ON webhook.id = webhook_id
        WHERE endpoint.claims = seen.claims
          AND in_flight < least(slots, %(slots)s)
          AND (rate_limit IS NULL OR rate_spent_until IS NULL OR rate_spent_until <= %(now)s + %(burst)s)
        ORDER BY webhook_id
        FOR NO KEY UPDATE OF endpoint SKIP LOCKED
    ), share AS (
        SELECT webhook_id, slow, in_flight,
            least(free, greatest(4, 2 * %(places)s / count(*) OVER ()),
                  1 + floor(rate_limit * extract(epoch FROM %(now)s + %(burst)s - spent))::int) AS free
        FROM open
    ), candidate AS (
        SELECT due.id, slow, weight, in_flight, free, row_number() OVER (PARTITION BY webhook_id ORDER BY lot) AS turn
        FROM share CROSS JOIN LATERAL (
            (SELECT id, 1 AS weight, row_number() OVER (ORDER BY next_attempt_at, id) - random() AS lot
             FROM webhooks_webhookdelivery AS delivery
             WHERE status = 'PENDING' AND NOT replay
               AND delivery.webhook_id = share.webhook_id AND next_attempt_at <= %(now)s
             ORDER BY next_attempt_at, id LIMIT free)
            UNION ALL
            (SELECT id, 7, 7 * (row_number() OVER (ORDER BY next_attempt_at, id) - random())
             FROM webhooks_webhookdelivery AS delivery
             WHERE next_attempt_at IS NOT NULL AND (status = 'FAILED' OR replay)
               AND delivery.webhook_id = share.webhook_id
               AND (delivery.webhook_id, next_attempt_at) <= (share.webhook_id, %(now)s)
             ORDER BY next_attempt_at, id LIMIT free)
        ) AS due
    ), queued AS (
        SELECT id, slow, weight, in_flight + turn - random() AS turn FROM candidate WHERE turn <= free
    ), drawn AS (
        SELECT *, weight * (row_number() OVER (PARTITION BY slow, weight ORDER BY turn) - random()) AS lot FROM queued
    ), admitted AS (
        SELECT id, weight * (row_number() OVER (PARTITION BY weight ORDER BY turn) - random()) AS lot
        FROM (SELECT *, row_number() OVER (PARTITION BY slow ORDER BY lot) AS place FROM drawn) AS drawn
        WHERE NOT slow OR place <= %(slow_places)s
    ), chosen AS (
        SELECT id FROM admitted ORDER BY lot LIMIT %(places)s
    ), locked AS MATERIALIZED (
        SELECT id FROM webhooks_webhookdelivery
        WHERE id = ANY (ARRAY(SELECT id FROM chosen)) AND next_attempt_at <= %(now)s
        ORDER BY id
        FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE webhooks_webhookdelivery AS delivery
        SET status = 'SENDING', next_attempt_at = NULL, attempt = attempt + 1,
            claim_token = %(token)s, claimed_by = %(process)s
        WHERE id = ANY (ARRAY(SELECT id FROM locked))
        RETURNING id, event_id, webhook_id, company_id, attempt, failures, replay, envelope_version
    ), counted AS (
        UPDATE webhooks_endpoint AS endpoint
        SET claims = claims + 1,
            rate_spent_until = CASE WHEN rate_limit IS NOT NULL
                THEN greatest(rate_spent_until, %(now)s) + taken.count * interval '1 second' / rate_limit END
        FROM (SELECT webhook_id, count(*) FROM claimed GROUP BY webhook_id) AS taken
        JOIN webhooks_webhook AS webhook ON webhook.id = taken.webhook_id
        WHERE endpoint.webhook_id = taken.webhook_id
    )
    SELECT (SELECT webhook_id FROM fresh WHERE place = %(webhooks)s),
           (SELECT webhook_id FROM backlog WHERE place = %(webhooks)s),
           EXISTS (
               SELECT FROM webhooks_endpoint AS endpoint JOIN seen USING (webhook_id)
               WHERE in_flight < least(slots, %(slots)s)
                 AND (rate_spent_until IS NULL OR rate_spent_until <= %(now)s + %(burst)s)
                 AND webhook_id NOT IN (SELECT webhook_id FROM open)),
           claimed.*, open.slow
    FROM (SELECT) AS always
    LEFT JOIN (claimed JOIN open USING (webhook_id)) ON true
"""

_LIMITED = """
    SELECT min(rate_spent_until) - %(burst)s
    FROM webhooks_endpoint AS endpoint JOIN webhooks_webhook AS webhook ON webhook.id = endpoint.webhook_id
    WHERE rate_limit IS NOT NULL AND rate_spent_until > %(now)s
      AND disabled_at IS NULL AND deleted_at IS NULL
      AND ((
        SELECT delivery.webhook_id = webhook.id AND next_attempt_at <= %(now)s
        FROM webhooks_webhookdelivery AS delivery
        WHERE status = 'PENDING' AND NOT replay AND delivery.webhook_id >= webhook.id
        ORDER BY delivery.webhook_id, next_attempt_at LIMIT 1
      ) OR (
        SELECT delivery.webhook_id = webhook.id AND next_attempt_at <= %(now)s
        FROM webhooks_webhookdelivery AS delivery
        WHERE next_attempt_at IS NOT NULL AND (status = 'FAILED' OR replay) AND delivery.webhook_id >= webhook.id
        ORDER BY delivery.webhook_id, next_attempt_at LIMIT 1
      ))
"""

_START = uuid.UUID(int=0)


class Claimed(NamedTuple):
    """A delivery that this process holds, as it was when it was claimed; `slow` is what its endpoint seemed to be."""

    id: uuid.UUID
    event_id: uuid.UUID
    webhook_id: uuid.UUID
    company_id: uuid.UUID
    attempt: int
    failures: int
    replay: bool
    envelope_version: int
    slow: bool
    token: uuid.UUID


@dataclass(slots=True)
class Claimer:
    """Claims for one process, and remembers where it was: with very many webhooks, each claim goes on from there."""

    slots: int
    """Requests that one endpoint may have on the wire at once, over all processes."""
    contended: bool = False
    """Whether the last claim left an endpoint out since another process was just counting its requests."""
    _after_fresh: uuid.UUID = _START
    _after_backlog: uuid.UUID = _START

    def claim(
        self,
        *,
        process: uuid.UUID,
        places: int,
        now: datetime,
        slow_places: int | None = None,
        stuck: Collection[uuid.UUID] = (),
    ) -> list[Claimed]:
        """Take at most `places` due deliveries, for a process whose lease is alive.

        No more than `slow_places` of them are for slow endpoints; the `stuck` webhooks count among these.
        """
        token = uuid.uuid4()
        values: dict[str, Any] = {
            "process": process,
            "places": places,
            "now": now,
            "slow_places": places if slow_places is None else slow_places,
            "stuck": list(stuck),
            "slots": self.slots,
            "webhooks": WEBHOOKS_MOST,
            "burst": RATE_BURST,
            "token": token,
            "after_fresh": self._after_fresh,
            "after_backlog": self._after_backlog,
        }
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, values)
            rows = cursor.fetchall()
        fresh, backlog, self.contended = rows[0][:3]
        self._after_fresh, self._after_backlog = fresh or _START, backlog or _START
        return [Claimed._make((*row[3:], token)) for row in rows if row[3] is not None]

    @property
    def halfway(self) -> bool:
        """Whether the last claim left webhooks for the next one to look at."""
        return self._after_fresh != _START or self._after_backlog != _START


def next_due(*, now: datetime, until: datetime) -> datetime | None:
    """The first moment up to `until` at which a delivery is due; None if there is none."""
    # Not `exists()`, nor a range of the time: where the planner takes many rows for fresh, or few for due, it would
    # read the whole table for the one, and all that are due for the other.
    fresh = WebhookDelivery.objects.filter(FRESH).due(now=now).order_by("webhook_id", "next_attempt_at")
    if fresh.values_list("next_attempt_at").first():
        return now
    backlog = WebhookDelivery.objects.filter(BACKLOG).order_by("next_attempt_at")
    moment: datetime | None = backlog.values_list("next_attempt_at", flat=True).first()
    return max(moment, now) if moment and moment <= until else None


def next_of_limited(*, now: datetime) -> datetime | None:
    """When the first of those endpoints that have something due may have its next request, by its rate limit."""
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"now": now, "burst": RATE_BURST}
        cursor.execute(_LIMITED, values)
        moment: datetime | None = cursor.fetchone()[0]
    return moment
