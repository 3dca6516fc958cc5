"""Two claimers, each on a connection of its own."""

import pytest
from django.db import connection, transaction

from jobs.models import WorkerProcess
from tests.conftest import NOON, draft, open_tenant
from tests.threads import at_once
from tests.webhooks.steps import claim, depart
from webhooks import rescuing
from webhooks.models import Endpoint, Webhook, WebhookAttempt, WebhookDelivery

ROWS = 300


@pytest.fixture
def due(committed: None) -> None:
    tenant = open_tenant("Acme")
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    Endpoint.objects.update(slots=ROWS)
    with transaction.atomic():
        tenant.record(*[draft() for _ in range(ROWS)])


def test_concurrent_claimers_share_no_row_and_leave_none(due: None) -> None:
    claimed: list[object] = []

    def work() -> None:
        process = WorkerProcess.objects.register(queues=[]).id
        while WebhookDelivery.objects.filter(status="PENDING").exists():
            claimed.extend(row.id for row in claim(process=process, limit=7, now=NOON))

    at_once(4, work)
    assert len(claimed) == len(set(claimed)) == ROWS


def test_concurrent_rescuers_take_each_orphan_back_once(due: None) -> None:
    process = WorkerProcess.objects.register(queues=[])
    claim(process=process.id, limit=ROWS, now=NOON)
    process.delete()
    rescued: list[int] = []
    at_once(4, lambda: rescued.append(rescuing.rescue(now=NOON)))
    assert sum(rescued) == ROWS
    assert set(WebhookDelivery.objects.values_list("status", "attempt")) == {("PENDING", 0)}


def test_a_rescue_waits_for_nobody_and_misses_no_attempt_that_is_just_being_recorded(due: None) -> None:
    process = WorkerProcess.objects.register(queues=[])
    claimed = claim(process=process.id, limit=5, now=NOON)
    process.delete()
    rescued: list[int] = []
    with transaction.atomic():
        departures = depart(claimed, now=NOON)
        at_once(1, lambda: rescued.append(rescuing.rescue(now=NOON)))
    at_once(1, lambda: rescued.append(rescuing.rescue(now=NOON)))
    assert (len(departures), rescued) == (5, [0, 5])
    assert set(WebhookAttempt.objects.values_list("result", "number")) == {("lost", 1)}
    assert set(WebhookDelivery.objects.filter(attempt=1).values_list("status", "failures")) == {("FAILED", 0)}


def test_the_search_for_what_is_held_for_nobody_reads_no_backlog(due: None) -> None:
    """Every five seconds, whatever waits: the index of what is held answers, which is empty."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_webhookdelivery")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + rescuing._LET_GO, {"now": NOON})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "delivery_held" in plan
    assert "Rows Removed by Filter" not in plan.split("delivery_held")[1].split("->")[0]
