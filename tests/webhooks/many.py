"""Deliveries by the hundred thousand."""

from datetime import datetime
from typing import Any

from django.db import connection

from tests.conftest import Tenant, draft
from webhooks.models import Webhook

EVENTS = 3_000

# From the oldest to the youngest: a third is old, and some of that still retried; a third is young; a third is held.
_SEED = """
    INSERT INTO webhooks_webhookdelivery (id, company_id, webhook_id, event_id, envelope_version, status,
        next_attempt_at, attempt, failures, replay, lost_in_a_row, error, created_at, completed_at)
    SELECT (lpad(to_hex((extract(epoch FROM made) * 1000)::bigint), 12, '0') || substr(md5(n::text), 1, 20))::uuid,
        %(company)s, webhook_id, event_id, 1,
        CASE WHEN tried THEN 'FAILED' WHEN held THEN 'HELD' ELSE 'SUCCESS' END, CASE WHEN tried THEN %(today)s END,
        1, 0, false, 0, '', made, CASE WHEN NOT tried AND NOT held THEN made END
    FROM (
        SELECT n, webhook.id AS webhook_id, event.id AS event_id, n <= %(tried)s AS tried,
            n > %(rows)s / 3 * 2 AS held,
            %(today)s - CASE WHEN n <= %(rows)s / 3 THEN interval '150 days' ELSE interval '29 days' END
            + n * interval '1 second' AS made
        FROM (
            SELECT row_number() OVER () AS n, webhook.id AS webhook, event.id AS event
            FROM webhooks_webhook AS webhook CROSS JOIN audit_auditevent AS event
        ) AS pair
        JOIN webhooks_webhook AS webhook ON webhook.id = pair.webhook
        JOIN audit_auditevent AS event ON event.id = pair.event
    ) AS planned
"""

_SEED_ATTEMPTS = """
    INSERT INTO webhooks_webhookattempt (id, delivery_id, company_id, number, url, request_headers, body_sha256,
        started_at, result, kind, error, address, response_headers, response_body, timing, repeated)
    SELECT id, id, company_id, 1, '', '{}', '', created_at, 'failed', '', '', '', '{}', '', '{}', false
    FROM webhooks_webhookdelivery
"""


def seed_deliveries(tenant: Tenant, *, webhooks: int, today: datetime) -> None:
    """3,000 for each webhook, each with an attempt; made in the database, which takes seconds and not minutes."""
    for _ in range(EVENTS // 1000):
        tenant.record(*[draft() for _ in range(1000)])
    for _ in range(webhooks):
        Webhook.objects.register(company=tenant.company, url="https://example.com/")
    rows = webhooks * EVENTS
    values: dict[str, Any] = {"company": tenant.company.id, "today": today, "rows": rows, "tried": 20_000}
    with connection.cursor() as cursor:
        cursor.execute(_SEED, values)
        assert cursor.rowcount == rows
        cursor.execute(_SEED_ATTEMPTS)
        cursor.execute("ANALYZE webhooks_webhookdelivery")
        cursor.execute("ANALYZE webhooks_webhookattempt")
