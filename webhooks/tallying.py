"""Tallying: what outcomes show of their endpoints, gathered in memory and written together.

It is experience, not truth: what a dying process takes with it costs nothing but a little of that.
"""

import uuid
from dataclasses import asdict, dataclass, field
from datetime import datetime

import orjson
from django.db import connection

from webhooks.sending.outcome import Kind
from webhooks.settling import Settlement

SLOW_AFTER = 1.0
"""Seconds after which an endpoint counts as slow."""

# Additive increase, multiplicative decrease (as RFC 5681, 3.1). A success among failures breaks
# their row, whichever came last: what counts is a time of nothing but failures. The rows are locked in one order.
_WRITE = """
    WITH tally AS MATERIALIZED (
        SELECT endpoint.webhook_id, tally.* FROM jsonb_to_recordset(%(tallies)s::jsonb) AS tally (
            webhook uuid, delivered int, failed int, overloaded bool, slow bool,
            first_failure timestamptz, last_failure timestamptz, last_success timestamptz)
        JOIN webhooks_endpoint AS endpoint ON endpoint.webhook_id = tally.webhook
        ORDER BY endpoint.webhook_id
        FOR NO KEY UPDATE OF endpoint
    ), shown AS (
        UPDATE webhooks_endpoint AS endpoint
        SET slots = CASE WHEN overloaded THEN greatest(1, slots / 2)
                         ELSE greatest(slots, least(%(slots)s, slots + delivered)) END,
            slow = tally.slow,
            failures_in_a_row = CASE WHEN delivered > 0 THEN 0 ELSE failures_in_a_row + failed END,
            failing_since = CASE WHEN delivered = 0 THEN coalesce(failing_since, first_failure) END,
            last_success_at = greatest(last_success_at, last_success),
            last_failure_at = greatest(last_failure_at, last_failure)
        FROM tally
        WHERE endpoint.webhook_id = tally.webhook
    )
    INSERT INTO webhooks_endpointhour AS hour (endpoint_id, hour, delivered, failed)
    SELECT webhook, date_trunc('hour', greatest(last_success, last_failure), 'UTC'), delivered, failed
    FROM tally
    ON CONFLICT (endpoint_id, hour) DO UPDATE
    SET delivered = hour.delivered + excluded.delivered, failed = hour.failed + excluded.failed
"""


@dataclass(slots=True)
class _Shown:
    webhook: uuid.UUID
    delivered: int = 0
    failed: int = 0
    overloaded: bool = False
    slow: bool = False
    first_failure: datetime | None = None
    last_failure: datetime | None = None
    last_success: datetime | None = None


@dataclass(slots=True)
class Tally:
    """What the outcomes since the last `write` have shown. `slots` is the most that an endpoint may have at once."""

    slots: int
    _shown: dict[uuid.UUID, _Shown] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._shown)

    def add(self, settlement: Settlement) -> None:
        """Take one in; what never left says nothing about its endpoint."""
        if not settlement.left:
            return
        webhook, outcome, at = settlement.claimed.webhook_id, settlement.outcome, settlement.finished_at
        shown = self._shown.setdefault(webhook, _Shown(webhook))
        shown.slow = (outcome.timing.total or 0) > SLOW_AFTER * 1000
        shown.overloaded |= outcome.overloaded
        if outcome.kind is Kind.DELIVERED:
            shown.delivered += 1
            shown.last_success = at
        else:
            shown.failed += 1
            shown.first_failure = shown.first_failure or at
            shown.last_failure = at

    def write(self) -> None:
        """Write it, and begin anew; raises django.db.Error, and keeps what there is."""
        with connection.cursor() as cursor:
            tallies = orjson.dumps([asdict(shown) for shown in self._shown.values()]).decode()
            cursor.execute(_WRITE, {"tallies": tallies, "slots": self.slots})
        self._shown.clear()
