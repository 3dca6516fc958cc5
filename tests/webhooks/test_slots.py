"""Two claimers, each on a connection of its own, and the slots of one endpoint."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.db.models import Count

from jobs.models import WorkerProcess
from tests.conftest import NOON, Tenant, open_tenant
from tests.threads import begin
from tests.webhooks.crowd import add_deliveries, add_webhooks, land
from webhooks import claiming
from webhooks.claiming import Claimed, Claimer
from webhooks.models import Endpoint, Webhook, WebhookDelivery

SLOTS, ROWS = 5, 40
GATE = 4711
"""An advisory lock that a claim waits for between its counting and its locking."""


@pytest.fixture
def tenant(committed: None) -> Tenant:
    return open_tenant("Acme")


@pytest.fixture
def webhook(tenant: Tenant) -> Webhook:
    (webhook,) = add_webhooks(tenant.company, 1, slots=SLOTS)
    add_deliveries(tenant, [webhook], ROWS)
    return webhook


@contextmanager
def elsewhere(work: Callable[[], None]) -> Iterator[None]:
    """While `work` is done in a thread, on another connection; it ends with the block."""
    thread = begin(work)
    try:
        yield
    finally:
        thread.join()


def process() -> WorkerProcess:
    return WorkerProcess.objects.register(queues=[])


def on_the_wire() -> int:
    return WebhookDelivery.objects.filter(status="SENDING").count()


def test_who_finds_an_endpoint_locked_leaves_it_to_the_other_and_says_so(webhook: Webhook) -> None:
    other, mine, found = Claimer(slots=50), Claimer(slots=50), []
    with transaction.atomic():
        assert len(mine.claim(process=process().pk, places=3, now=NOON)) == 3
        with elsewhere(lambda: found.append(other.claim(process=process().pk, places=100, now=NOON))):
            pass
    assert (found, other.contended, mine.contended) == ([[]], True, False)
    assert len(other.claim(process=process().pk, places=100, now=NOON)) == SLOTS - 3
    assert not other.contended


def test_who_counted_before_the_other_and_locked_after_it_leaves_the_slots_alone(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = "endpoint.claims = seen.claims"
    waits = claiming._CLAIM.replace(
        counted, f"{counted} AND pg_advisory_xact_lock_shared({GATE} + 0 * in_flight) IS NOT NULL"
    )
    assert waits != claiming._CLAIM
    straight, late, found = claiming._CLAIM, Claimer(slots=50), []

    def claim_late() -> None:
        found.append(late.claim(process=process().pk, places=100, now=NOON))

    others = threading.active_count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [GATE])
        monkeypatch.setattr(claiming, "_CLAIM", waits)
        with elsewhere(claim_late):
            try:
                while not waiting_at_the_gate() and threading.active_count() > others:
                    pass
                monkeypatch.setattr(claiming, "_CLAIM", straight)
                assert len(Claimer(slots=50).claim(process=process().pk, places=100, now=NOON)) == SLOTS
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [GATE])
    assert (found, late.contended) == ([[]], True)
    assert on_the_wire() == SLOTS


def waiting_at_the_gate() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", [GATE]
        )
        return bool(cursor.fetchone()[0])


def test_many_claimers_together_never_pass_the_slots_of_any_endpoint(tenant: Tenant) -> None:
    webhooks = add_webhooks(tenant.company, 3, slots=SLOTS)
    add_deliveries(tenant, webhooks, ROWS)
    most: list[int] = []
    together = threading.Barrier(4)

    def work() -> None:
        claimer, mine = Claimer(slots=50), process().pk
        together.wait()
        waiting = WebhookDelivery.objects.filter(status="PENDING")
        while waiting.exists():
            claimed: list[Claimed] = claimer.claim(process=mine, places=4, now=NOON)
            sending = WebhookDelivery.objects.filter(status="SENDING").values("webhook").annotate(n=Count("pk"))
            most.extend(row["n"] for row in sending)
            land(c.id for c in claimed)

    with elsewhere(work), elsewhere(work), elsewhere(work), elsewhere(work):
        pass
    assert 1 < max(most) <= SLOTS
    assert set(WebhookDelivery.objects.values_list("status", "attempt")) == {("SUCCESS", 1)}
    assert set(Endpoint.objects.filter(claims__gte=ROWS // SLOTS).values_list("pk", flat=True)) == {
        webhook.pk for webhook in webhooks
    }
