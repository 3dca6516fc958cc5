"""What a search for one person reads, and what it holds at a time: bounded, whatever the company has."""

import json
import secrets
import tracemalloc
from typing import Any

import pytest
from django.db import connection

from audit.models import AuditEvent
from benchmarks.chains import fill
from gdpr import reading, searching
from gdpr.progress import Progress
from gdpr.subjects import Subject
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.making import make_one
from tests.plans import Plan, Tables
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

ADA = Subject(actor_ids=("ada",), emails=("ada@example.com",))
EVENTS = Tables(names=("audit_auditevent",), indexes=("audit_auditevent",))
OWN, FOREIGN = 1_000, 7_000


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Those of the statements of a search."""
    plans: list[Plan] = []

    def explain(statement: str, values: list[Any]) -> tuple[Any, ...]:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, values)
            (answer,) = cursor.fetchone()
        plans.append((answer if isinstance(answer, list) else json.loads(answer))[0]["Plan"])
        return reading.fetch(statement, values)

    monkeypatch.setattr(searching, "fetch", explain)
    return plans


def follow_all(tenant: Tenant) -> None:
    """Give each event a delivery, and that an attempt."""
    company, (webhook, _) = tenant.company, Webhook.objects.register(company=tenant.company, url="https://example.com/")
    common = {"company": company, "webhook": webhook, "status": "SUCCESS", "created_at": NOON}
    deliveries = [WebhookDelivery(event=event, **common) for event in AuditEvent.objects.filter(company=company)]
    WebhookDelivery.objects.bulk_create(deliveries)
    attempts = [WebhookAttempt(company=company, delivery=one, number=1, started_at=NOON) for one in deliveries]
    WebhookAttempt.objects.bulk_create(attempts)


@pytest.mark.parametrize("counted", [False, True])
def test_of_events_of_others_none_is_read(
    tenant: Tenant, other_tenant: Tenant, plans: list[Plan], *, counted: bool
) -> None:
    fill(other_tenant.workspace, events=FOREIGN)
    fill(tenant.workspace, events=OWN)
    follow_all(tenant)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # ANALYZE would else find their triggers pending
        if counted:
            cursor.execute("ANALYZE")
    made = make_one(tenant.company, scope="subject", subject=Subject(actor_ids=("u7",)))
    assert [made.made.counts[f"webhooks_webhook{table}"] for table in ("delivery", "attempt")] == [1, 1]
    # Each is looked at for itself, and weighed and looked at for its delivery and for the attempt of that.
    assert EVENTS.rows_read(*plans) < 6 * OWN < FOREIGN


def test_memory_is_bounded_however_large_the_events_are_that_rows_follow(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    text = secrets.token_urlsafe(750_000)
    for n in range(40):
        tenant.record(draft(actor={"id": "ada"}, payload={"text": text[n:]}))
    peak = 0

    def look(_: Progress) -> None:
        nonlocal peak
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()

    tracemalloc.start()
    try:
        made = make_one(tenant.company, scope="subject", subject=ADA, advance=look)
    finally:
        tracemalloc.stop()
    assert made.made.counts["webhooks_webhookdelivery"] == 40
    assert peak - len(made.file.getvalue()) < 20 << 20


def test_what_a_statement_looks_at_is_bounded_by_its_bytes_also_where_nothing_is_found(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "LOOKED_BYTES", 10_000)
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record(*[draft(actor={"id": "bob"}, payload={"text": secrets.token_urlsafe(6_000)}) for _ in range(10)])
    told: list[Progress] = []
    made = make_one(tenant.company, scope="subject", subject=ADA, advance=told.append)
    assert made.made.counts["audit_auditevent"] == 0
    for step in ("audit_auditevent", "webhooks_webhookdelivery"):
        rows = [progress.rows for progress in told if progress.step == step]
        assert [after - rows[0] for after in rows] == [0, 2, 4, 6, 8]
