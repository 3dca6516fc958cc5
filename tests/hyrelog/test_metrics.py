from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest

from audit.ids import first_at
from hyrelog.ops.gauges import COUNTED, GAUGES
from hyrelog.ops.metrics import DatabaseCollector
from tests.conftest import Tenant, draft
from tests.webhooks.many import read_by, scans, seed_deliveries
from webhooks.models import Endpoint, Webhook, WebhookAttempt, WebhookDelivery


def scrape() -> dict[str, float]:
    """Each sample with its labels as Prometheus reads it, and its number."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector())
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {sample: float(number) for sample, number in (line.rsplit(" ", 1) for line in lines)}


def register(tenant: Tenant) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url="https://example.com/")[0]


@pytest.mark.django_db
def test_an_empty_house_has_every_sample_that_alarms_go_by() -> None:
    samples = scrape()
    assert samples["hyrelog_database_up"] == 1
    assert samples["hyrelog_worker_processes"] == 0
    for kind in ("fresh", "due", "scheduled", "held"):
        assert samples[f'hyrelog_deliveries_waiting{{kind="{kind}"}}'] == 0
    for kind in ("fresh", "due"):
        assert samples[f'hyrelog_delivery_oldest_due_seconds{{kind="{kind}"}}'] == 0


def test_what_waits_is_counted_by_why_it_does(tenant: Tenant) -> None:
    now = timezone.now()
    register(tenant)
    tenant.record(*[draft() for _ in range(10)], now=now)
    rows = list(WebhookDelivery.objects.order_by("id"))
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows[:1]]).update(
        status="FAILED", next_attempt_at=now - timedelta(hours=2)
    )
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows[1:3]]).update(
        status="FAILED", next_attempt_at=now + timedelta(hours=1)
    )
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows[3:6]]).update(status="HELD", next_attempt_at=None)
    samples = scrape()
    counts = {kind: samples[f'hyrelog_deliveries_waiting{{kind="{kind}"}}'] for kind in ("fresh", "due", "held")}
    assert counts == {"fresh": 4, "due": 1, "held": 3}
    assert samples['hyrelog_deliveries_waiting{kind="scheduled"}'] == 2
    assert samples['hyrelog_delivery_oldest_due_seconds{kind="due"}'] == pytest.approx(7200, abs=600)


def test_the_oldest_fresh_delivery_is_found_whosever_it_is(tenant: Tenant) -> None:
    webhooks = [register(tenant) for _ in range(3)]
    now = timezone.now()
    tenant.record(now=now)
    for minutes, webhook in zip((5, 90, 20), webhooks, strict=True):
        webhook.deliveries.update(next_attempt_at=now - timedelta(minutes=minutes))
    assert scrape()['hyrelog_delivery_oldest_due_seconds{kind="fresh"}'] == pytest.approx(5400, abs=600)


def test_recent_attempts_are_told_by_what_came_of_them(tenant: Tenant) -> None:
    register(tenant)
    tenant.record()
    delivery, now = WebhookDelivery.objects.get(), timezone.now()
    made = [("failed", "timeout"), ("failed", "timeout"), ("delivered", "delivered"), ("lost", ""), ("sending", "")]
    for number, (result, kind) in enumerate(made, start=1):
        WebhookAttempt.objects.create(
            company=tenant.company, delivery=delivery, number=number, started_at=now, result=result, kind=kind
        )
    old = first_at(now - timedelta(minutes=6))
    WebhookAttempt.objects.create(
        id=old, company=tenant.company, delivery=delivery, number=9, started_at=now, result="failed", kind="dns"
    )
    recent = {sample: number for sample, number in scrape().items() if "recent" in sample}
    expected = {"timeout": 2, "delivered": 1, "lost": 1, "sending": 1}
    assert recent == {f'hyrelog_attempts_recent{{outcome="{name}"}}': count for name, count in expected.items()}


def test_endpoints_are_told_by_how_they_fare(tenant: Tenant) -> None:
    webhooks, now = [register(tenant) for _ in range(4)], timezone.now()
    Endpoint.objects.filter(webhook__in=webhooks[1:3]).update(failing_since=now)
    webhooks[2].disable(reason="test", now=now)
    webhooks[3].delete_softly(now=now)
    samples = scrape()
    states = {state: samples[f'hyrelog_endpoints{{state="{state}"}}'] for state in ("healthy", "failing", "disabled")}
    assert states == {"healthy": 1, "failing": 1, "disabled": 1}


def test_a_scrape_reads_a_large_table_by_its_indexes_and_within_a_bound(tenant: Tenant) -> None:
    seed_deliveries(tenant, today=timezone.now())
    read: list[tuple[str, float]] = []
    ways: set[str] = set()
    explained: Callable[[str], Any] = "EXPLAIN (ANALYZE, FORMAT JSON) {}".format
    with connection.cursor() as cursor:
        for gauge in GAUGES:
            cursor.execute(explained(gauge.statement))
            parts = [
                part
                for part in scans(cursor.fetchone()[0][0]["Plan"])
                if part.get("Relation Name") in ("webhooks_webhookdelivery", "webhooks_webhookattempt")
            ]
            ways.update(part["Node Type"] for part in parts)
            read.extend((gauge.name, read_by(part)) for part in parts)
    assert len(read) >= 9
    assert ways <= {"Index Scan", "Index Only Scan"}
    assert [scan for scan in read if scan[1] > COUNTED] == []
