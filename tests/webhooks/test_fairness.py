"""Who is claimed when not all can be."""

from collections import Counter
from datetime import timedelta

import pytest

from jobs.leases import ProcessLease
from tests.conftest import NOON, Tenant
from tests.webhooks.crowd import add_deliveries, add_retries, add_webhooks, land
from webhooks import claiming
from webhooks.claiming import Claimer
from webhooks.departing import depart
from webhooks.models import Endpoint, Webhook, WebhookDelivery

SLOTS = 50
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def claimer() -> Claimer:
    return Claimer(slots=SLOTS)


# --- Slots ------------------------------------------------------------------------------------------------------


def test_an_endpoint_gets_as_many_at_once_as_it_has_slots(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=3)
    add_deliveries(tenant, [webhook], 10)
    first = claimer.claim(process=lease.process_id, places=100, now=NOON)
    assert len(first) == 3
    assert claimer.claim(process=lease.process_id, places=100, now=NOON) == []
    land([first[0].id])
    assert len(claimer.claim(process=lease.process_id, places=100, now=NOON)) == 1


def test_an_endpoint_gets_no_more_than_the_setting_whatever_its_slots(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=SLOTS + 10)
    add_deliveries(tenant, [webhook], SLOTS + 10)
    taken = [len(claimer.claim(process=lease.process_id, places=200, now=NOON)) for _ in range(2)]
    assert taken == [SLOTS, 0]


def test_no_claim_is_larger_than_its_places(tenant: Tenant, lease: ProcessLease, claimer: Claimer) -> None:
    add_deliveries(tenant, add_webhooks(tenant.company, 5), 5)
    assert len(claimer.claim(process=lease.process_id, places=7, now=NOON)) == 7


# --- Turns ------------------------------------------------------------------------------------------------------


def test_one_row_is_in_the_next_claim_whatever_another_company_has(
    tenant: Tenant, other_tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    add_deliveries(tenant, add_webhooks(tenant.company, 1, slots=SLOTS), 500, due=NOON - timedelta(hours=1))
    (small,) = add_webhooks(other_tenant.company, 1)
    add_deliveries(other_tenant, [small])
    assert small.pk in {c.webhook_id for c in claimer.claim(process=lease.process_id, places=2, now=NOON)}


def test_who_has_nothing_on_the_wire_comes_before_who_has_something(
    tenant: Tenant, other_tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    busy = add_webhooks(tenant.company, 20, slots=SLOTS)
    add_deliveries(tenant, busy, 10, due=NOON - timedelta(hours=1))
    claimer.claim(process=lease.process_id, places=20, now=NOON)
    (small,) = add_webhooks(other_tenant.company, 1)
    add_deliveries(other_tenant, [small])
    assert [c.webhook_id for c in claimer.claim(process=lease.process_id, places=1, now=NOON)] == [small.pk]


def test_among_equals_all_get_a_turn_though_there_is_never_room_for_all(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    """Endpoints that answer at once, each with more than it ever gets: the last ids are not left out."""
    webhooks = add_webhooks(tenant.company, 12)
    add_deliveries(tenant, webhooks, 100)
    served: Counter[object] = Counter()
    for _ in range(60):
        claimed = claimer.claim(process=lease.process_id, places=4, now=NOON)
        served.update(c.webhook_id for c in claimed)
        land(c.id for c in claimed)
    assert served.total() == 240
    assert set(served) == {webhook.pk for webhook in webhooks}
    assert max(served.values()) < 60


def test_beyond_the_webhooks_of_one_claim_the_next_one_goes_on(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "WEBHOOKS_MOST", 3)
    fresh, retrying = add_webhooks(tenant.company, 7), add_webhooks(tenant.company, 8)
    add_deliveries(tenant, fresh)
    add_retries(tenant, retrying)
    turns, halfway = [], []
    for _ in range(3):
        turns.append({c.webhook_id for c in claimer.claim(process=lease.process_id, places=100, now=NOON)})
        halfway.append(claimer.halfway)
    assert [len(turn) for turn in turns] == [6, 6, 3]
    assert set.union(*turns) == {webhook.pk for webhook in fresh + retrying}
    assert halfway == [True, True, False]


def test_webhooks_whose_retries_are_not_due_hide_none_whose_are(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "WEBHOOKS_MOST", 3)
    webhooks = add_webhooks(tenant.company, 10)
    add_retries(tenant, webhooks[:9], due=LATER)
    (due,) = add_retries(tenant, webhooks[9:])
    found = []
    for _ in range(4):
        found += [c.id for c in claimer.claim(process=lease.process_id, places=100, now=NOON)]
    assert found == [due]


# --- Fresh ones before the backlog -------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "each"), [(1, 100), (100, 1)], ids=["of one webhook", "of many webhooks"])
def test_the_backlog_gets_an_eighth_of_the_places_while_fresh_ones_wait(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer, count: int, each: int
) -> None:
    webhooks = add_webhooks(tenant.company, 2 * count, slots=SLOTS)
    add_deliveries(tenant, webhooks[:count], each)
    add_retries(tenant, webhooks[:1] if count == 1 else webhooks[count:], each, due=NOON - timedelta(hours=9))
    claimed = claimer.claim(process=lease.process_id, places=40, now=NOON)
    assert len(claimed) == 40
    assert sum(c.attempt > 1 for c in claimed) == 5


def test_a_retry_comes_to_its_turn_though_fresh_ones_take_each_place_that_comes_free(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=1)
    add_deliveries(tenant, [webhook], 400)
    retries = add_retries(tenant, [webhook], 20)
    retried = 0
    for _ in range(300):
        (claimed,) = claimer.claim(process=lease.process_id, places=10, now=NOON)
        retried += claimed.id in retries
        land([claimed.id])
    assert 0 < retried < 100


@pytest.mark.parametrize("kind", ["fresh", "backlog"])
def test_what_one_kind_leaves_is_the_other_s(tenant: Tenant, lease: ProcessLease, claimer: Claimer, kind: str) -> None:
    webhooks = add_webhooks(tenant.company, 10)
    (add_deliveries if kind == "fresh" else add_retries)(tenant, webhooks, 8)
    (add_retries if kind == "fresh" else add_deliveries)(tenant, webhooks[:1])
    assert len(claimer.claim(process=lease.process_id, places=40, now=NOON)) == 40


def test_of_one_webhook_the_oldest_come_first(tenant: Tenant, lease: ProcessLease, claimer: Claimer) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=3)
    ids = add_deliveries(tenant, [webhook], 9)
    for n in range(0, 9, 3):
        claimed = claimer.claim(process=lease.process_id, places=100, now=NOON + timedelta(seconds=1))
        assert {c.id for c in claimed} == set(ids[n : n + 3])
        land(ids[n : n + 3])


# --- Slow ones --------------------------------------------------------------------------------------------------


def test_slow_endpoints_together_get_no_more_than_their_places(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    slow, quick = add_webhooks(tenant.company, 20, slow=True), add_webhooks(tenant.company, 3)
    add_deliveries(tenant, slow + quick, 2)
    claimed = claimer.claim(process=lease.process_id, places=100, slow_places=5, now=NOON)
    assert Counter(c.slow for c in claimed) == {True: 5, False: 6}
    assert {c.webhook_id for c in claimed if c.slow} <= {webhook.pk for webhook in slow}


def test_without_places_for_slow_ones_the_others_get_all(tenant: Tenant, lease: ProcessLease, claimer: Claimer) -> None:
    slow, quick = add_webhooks(tenant.company, 20, slow=True), add_webhooks(tenant.company, 3)
    add_deliveries(tenant, slow + quick, 2)
    claimed = claimer.claim(process=lease.process_id, places=6, slow_places=0, now=NOON)
    assert {c.webhook_id for c in claimed} == {webhook.pk for webhook in quick}
    assert len(claimed) == 6


def test_a_webhook_on_which_requests_are_stuck_counts_as_slow(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    stuck, quick = add_webhooks(tenant.company, 2)
    add_deliveries(tenant, [stuck, quick], 4)
    claimed = claimer.claim(process=lease.process_id, places=100, slow_places=1, stuck={stuck.pk}, now=NOON)
    assert Counter(c.webhook_id for c in claimed) == {stuck.pk: 1, quick.pk: 4}


def test_among_slow_ones_all_get_a_turn_and_fresh_ones_come_first(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer
) -> None:
    retrying, new = add_webhooks(tenant.company, 3, slow=True), add_webhooks(tenant.company, 10, slow=True)
    add_retries(tenant, retrying, 60, due=NOON - timedelta(hours=1))
    add_deliveries(tenant, new, 50)
    served: Counter[object] = Counter()
    for _ in range(50):
        claimed = claimer.claim(process=lease.process_id, places=100, slow_places=8, now=NOON)
        served.update(c.webhook_id for c in claimed)
        land(c.id for c in claimed)
    retried = sum(served[webhook.pk] for webhook in retrying)
    assert set(served) == {webhook.pk for webhook in retrying + new}
    assert retried == 50


# --- Those that are off, or gone --------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "status"), [({"disabled_at": NOON}, "HELD"), ({"deleted_at": NOON}, "CANCELLED")])
def test_what_is_due_for_one_that_is_off_or_gone_is_claimed_to_be_put_aside(
    tenant: Tenant, lease: ProcessLease, claimer: Claimer, change: dict[str, object], status: str
) -> None:
    webhooks = add_webhooks(tenant.company, 2)
    add_deliveries(tenant, webhooks[:1])
    add_retries(tenant, webhooks[:1])
    Webhook.objects.filter(pk=webhooks[0].pk).update(**change)
    claimed = claimer.claim(process=lease.process_id, places=10, now=NOON)
    assert depart(claimed, room=1000, now=NOON, timeout=1) == ([], [])
    assert set(WebhookDelivery.objects.values_list("status", "next_attempt_at")) == {(status, None)}
    assert sorted(WebhookDelivery.objects.values_list("attempt", flat=True)) == [0, 1]


# --- What is due next -------------------------------------------------------------------------------------------


def test_next_due_is_now_where_anything_is_due_and_the_first_retry_within_sight_otherwise(tenant: Tenant) -> None:
    webhooks = add_webhooks(tenant.company, 3)
    sight = NOON + timedelta(seconds=6)
    assert claiming.next_due(now=NOON, until=sight) is None
    add_retries(tenant, webhooks[:1], due=sight + timedelta(microseconds=1))
    assert claiming.next_due(now=NOON, until=sight) is None
    add_retries(tenant, webhooks[1:2], due=NOON + timedelta(seconds=4))
    assert claiming.next_due(now=NOON, until=sight) == NOON + timedelta(seconds=4)
    add_retries(tenant, webhooks[2:], due=NOON - timedelta(hours=1))
    assert claiming.next_due(now=NOON, until=sight) == NOON
    WebhookDelivery.objects.all().delete()
    add_deliveries(tenant, webhooks[:1])
    assert claiming.next_due(now=NOON, until=sight) == NOON


def test_what_a_claim_counts_it_counts_once(tenant: Tenant, lease: ProcessLease, claimer: Claimer) -> None:
    """`claims` rises where something was taken, and only there: it is what others compare."""
    webhooks = add_webhooks(tenant.company, 2)
    add_deliveries(tenant, webhooks[:1], 3)
    claimer.claim(process=lease.process_id, places=10, now=NOON)
    claimer.claim(process=lease.process_id, places=10, now=NOON)
    counted = dict(Endpoint.objects.values_list("webhook_id", "claims"))
    assert counted == {webhooks[0].pk: 1, webhooks[1].pk: 0}
