"""A table with up to a million deliveries, beside the real one.

It is in a schema of its own, which comes first on the search path: the same columns and the same indexes by definition
and name, but without foreign keys, which would make a million rows take minutes.
"""

from typing import Any

from django.db import connection

from tests.plans import Tables

WEBHOOKS = 300
SCHEMA = "large"
TABLE, ATTEMPTS = "webhooks_webhookdelivery", "webhooks_webhookattempt"
BOTH = Tables(names=(TABLE, ATTEMPTS), indexes=("delivery_", "attempt_", TABLE, ATTEMPTS))

# The n-th webhook of `webhook_ids`; the rows of each situation say of which webhook they are by its number.
_WEBHOOK = "md5('webhook ' || {})::uuid"

_INSERT = f"""
    INSERT INTO {SCHEMA}.{TABLE} (id, company_id, webhook_id, event_id, envelope_version, status, next_attempt_at,
        attempt, failures, replay, lost_in_a_row, claim_token, claimed_by, error, created_at)
    SELECT (lpad(to_hex(1769860800000 + n), 12, '0') || substr(md5(n::text), 1, 20))::uuid, md5('company')::uuid,
        {_WEBHOOK.format("webhook")}, gen_random_uuid(), 1, status, due, attempt, 0, replay, 0,
        CASE WHEN status = 'SENDING' THEN gen_random_uuid() END,
        CASE WHEN status = 'SENDING' THEN md5('dead')::uuid END,
        '', timestamptz '2026-01-31 12:00+00' - n * interval '1 ms'
    FROM ({{rows}}) AS row (n, webhook, status, due, attempt, replay)
"""

# Of all that are on the wire, and of many more.
_INSERT_ATTEMPTS = f"""
    INSERT INTO {SCHEMA}.{ATTEMPTS} (id, delivery_id, company_id, number, url, started_at, result, kind, error, address,
        response_headers, response_body, repeated, timing, request_headers, body_sha256)
    SELECT gen_random_uuid(), id, company_id, 1, 'https://example.com/', created_at,
        CASE WHEN status = 'SENDING' THEN 'sending' ELSE 'delivered' END,
        '', '', '', '{{}}', '', false, '{{}}', '{{}}', ''
    FROM ((SELECT * FROM {SCHEMA}.{TABLE} LIMIT 200000)
          UNION ALL SELECT * FROM {SCHEMA}.{TABLE} WHERE status = 'SENDING') AS delivery
"""


def build(*, rows: str, before: str) -> None:
    """The table with `rows`, whose statistics are of `before`: (n, webhook, status, due, attempt, replay)."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        for table in (TABLE, ATTEMPTS):
            cursor.execute(
                f"CREATE UNLOGGED TABLE {SCHEMA}.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
                " WITH (autovacuum_enabled = off)"
            )
        if before:
            cursor.execute(_INSERT.format(rows=before))
            cursor.execute(f"ANALYZE {SCHEMA}.{TABLE}")
            cursor.execute(f"TRUNCATE {SCHEMA}.{TABLE}")
        cursor.execute(_INSERT.format(rows=rows))
        cursor.execute(_INSERT_ATTEMPTS)
        tables = [TABLE, ATTEMPTS]
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY(%s)", [tables])
        for (definition,) in cursor.fetchall():
            cursor.execute(definition.replace(" ON public.", f" ON {SCHEMA}."))


def drop() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA {SCHEMA} CASCADE")


def webhook_ids() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_WEBHOOK.format('n')} FROM generate_series(1, %s) AS n", [WEBHOOKS])
        return [row[0] for row in cursor.fetchall()]
