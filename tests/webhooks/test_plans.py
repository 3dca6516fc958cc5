"""Claim and sweep at a million rows: by which index they read, and how much of it.

What they may read is the same of fewer rows. Situations that differ little from another have 200,000, as a million
takes some ten seconds each.
"""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from jobs.leases import ProcessLease
from tests.conftest import NOON, Tenant
from tests.plans import explained
from tests.webhooks.large import BOTH, WEBHOOKS, build, drop, webhook_ids
from webhooks.claiming import Claimer, next_due, next_of_limited
from webhooks.models import Endpoint, Webhook
from webhooks.rescuing import rescue

SOME, MILLION = 200_000, 1_000_000
A_FEW = 100
"""Rows, of a million: the heads of what some webhooks have, and what transactions of before left dead beside them."""

DONE = "SELECT n, 1 + n % 300, 'SUCCESS', NULL::timestamptz, 1, false FROM generate_series(1, {}) AS n"
HALF = "SELECT n, {webhook}, '{status}', {due}, {attempt}, false FROM generate_series({first}, {last}) AS n"
ONE = "SELECT 1000000 + {n}, {webhook}, '{status}', timestamptz '2026-01-31 11:00+00', {attempt}, {replay}"
SENDING = "SELECT 2000000 + n, 1 + n % 300, 'SENDING', NULL, 1, false FROM generate_series(1, 300) AS n"
HELD = "SELECT 3000000 + n, 300, 'HELD', NULL, 0, false FROM generate_series(1, 6000) AS n"
FRESH_ONE = ONE.format(n=1, webhook=2, status="PENDING", attempt=0, replay=False)
RETRY_ONE = ONE.format(n=2, webhook=3, status="FAILED", attempt=1, replay=False)
REPLAY_ONE = ONE.format(n=3, webhook=4, status="PENDING", attempt=0, replay=True)
DUE, LATER = "timestamptz '2026-01-31 10:00+00' + n * interval '1 ms'", "timestamptz '2026-01-31 13:00+00'"


def rows(*parts: str) -> str:
    return " UNION ALL ".join((*parts, FRESH_ONE, RETRY_ONE, REPLAY_ONE, SENDING))


def half(count: int, status: str, *, webhook: str, due: str = "NULL", attempt: int = 1) -> str:
    """A half of so many rows is delivered, the other one is not."""
    ends = {"first": count // 2 + 1, "last": count}
    return (
        DONE.format(count // 2)
        + " UNION ALL "
        + HALF.format(status=status, webhook=webhook, due=due, attempt=attempt, **ends)
    )


SITUATIONS = {
    "all delivered": rows(DONE.format(SOME)),
    "half fresh, of one webhook": rows(half(SOME, "PENDING", webhook="1", due=DUE, attempt=0)),
    "half retried later": rows(half(SOME, "FAILED", webhook="1 + n % 300", due=LATER)),
    "half retried now, of one webhook": rows(half(MILLION, "FAILED", webhook="1", due=DUE)),
    "half held, of one webhook that is off": rows(half(MILLION, "HELD", webhook="1", attempt=0), HELD),
}
# Of these were the statistics before the rows above came, where there are any.
BEFORE = {
    "all delivered": DONE.format(3000).replace("'SUCCESS', NULL::timestamptz", f"'PENDING', {DUE}"),
    "half fresh, of one webhook": DONE.format(3000),
    "half retried now, of one webhook": DONE.format(3000)
    .replace("'SUCCESS', NULL::timestamptz", f"'FAILED', {LATER}")
    .replace("1 + n % 300", "1"),
}
CLAIM = {"delivery_fresh", "delivery_backlog", "delivery_sending", "webhooks_webhookdelivery_pkey"}
"""Where the backlog is three rows, the planner may read it by any index of it."""


@pytest.fixture(scope="module", params=list(SITUATIONS))
def situation(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Iterator[str]:
    with django_db_blocker.unblock():
        build(rows=SITUATIONS[request.param], before=BEFORE.get(request.param, ""))
        yield request.param
        drop()


@pytest.fixture(params=["stale", "fresh"])
def webhooks(situation: str, request: pytest.FixtureRequest, tenant: Tenant) -> list[uuid.UUID]:
    """The webhooks of the large table; the one that has half of it is off where that is held."""
    ids = webhook_ids()
    made = [Webhook(id=pk, company=tenant.company, url="https://example.com/", events=[], categories=[]) for pk in ids]
    Webhook.objects.bulk_create(made)
    Endpoint.objects.bulk_create([Endpoint(webhook_id=pk, slow=False) for pk in ids])
    if "off" in situation:
        Webhook.objects.filter(pk=ids[0]).update(disabled_at=NOON)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = large, public")
        if request.param == "fresh":
            cursor.execute("ANALYZE webhooks_webhookdelivery")
            cursor.execute("ANALYZE webhooks_webhookattempt")
    return ids


def test_a_claim_reads_a_little_of_its_own_indexes(
    situation: str, webhooks: list[uuid.UUID], lease: ProcessLease
) -> None:
    claimer, process = Claimer(slots=50), lease.process_id
    taken, read = set(), 0.0
    for _ in range(2 + WEBHOOKS // 250):
        with explained() as plans:
            claimed = claimer.claim(process=process, places=200, now=NOON)
        taken |= {c.webhook_id for c in claimed}
        (plan,) = plans
        assert BOTH.indexes_read(plan) <= CLAIM | ({"delivery_due"} if "retried" not in situation else set())
        read = max(read, BOTH.rows_read(plan))
    assert read < 3_000
    assert taken >= {webhooks[1], webhooks[2], webhooks[3]}


def test_the_sweep_finds_what_is_due_first_without_reading_what_is_not(webhooks: list[uuid.UUID]) -> None:
    with explained() as plans:
        assert next_due(now=NOON, until=NOON + timedelta(seconds=6)) == NOON
        next_due(now=NOON - timedelta(hours=3), until=NOON + timedelta(seconds=6))
    assert BOTH.indexes_read(*plans) <= {"delivery_fresh", "delivery_due"}
    assert BOTH.rows_read(*plans) < A_FEW


def test_whose_rate_limit_ends_first_is_read_from_the_heads_of_what_they_have(
    situation: str, webhooks: list[uuid.UUID]
) -> None:
    Webhook.objects.filter(pk__in=webhooks[:5]).update(rate_limit=10)
    Endpoint.objects.filter(pk__in=webhooks[:5]).update(rate_spent_until=NOON + timedelta(seconds=1))
    with explained() as plans:
        assert next_of_limited(now=NOON) == NOON + timedelta(seconds=0.9)
    assert BOTH.indexes_read(*plans) <= {
        *("delivery_fresh", "delivery_backlog"),
        *(["delivery_due"] if "retried" not in situation else []),
    }
    assert BOTH.rows_read(*plans) < A_FEW


def test_the_rescue_reads_what_is_on_the_wire_and_what_it_lets_go(webhooks: list[uuid.UUID]) -> None:
    with explained() as plans:
        assert rescue(now=NOON) in (300, 5300)
    orphans, lost, let_go = plans
    assert BOTH.indexes_read(orphans) <= {"delivery_sending", "webhooks_webhookdelivery_pkey"}
    assert BOTH.indexes_read(lost) <= {"webhooks_webhookdelivery_pkey", "attempt_number_once_per_delivery"}
    assert BOTH.indexes_read(let_go) <= {"delivery_held", "webhooks_webhookdelivery_pkey"}
    assert BOTH.rows_read(orphans, lost) < 3_000
    assert BOTH.rows_read(let_go) <= 25_000


def test_what_was_held_by_the_hundred_thousand_is_let_go_part_by_part(webhooks: list[uuid.UUID]) -> None:
    Webhook.objects.update(disabled_at=None)
    with explained() as plans:
        rescue(now=NOON)
    *_, let_go = plans
    assert BOTH.indexes_read(let_go) <= {"delivery_held", "webhooks_webhookdelivery_pkey"}
    assert BOTH.rows_read(let_go) <= 25_000
