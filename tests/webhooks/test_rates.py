"""Rate limits: never more than was agreed, in whatever window; and nobody leaves while a limit is all that delays."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from jobs.leases import ProcessLease
from tests.conftest import NOON, Clock, Tenant, draft
from tests.receiver import Receiver
from tests.webhooks.crowd import add_deliveries, add_retries, add_webhooks, land
from tests.webhooks.steps import claim
from webhooks.claiming import RATE_BURST, Claimer, next_of_limited
from webhooks.delivering import Sender
from webhooks.models import Endpoint, Webhook, WebhookDelivery

HOUR = timedelta(hours=1)


def take(claimer: Claimer, lease: ProcessLease, *, now: datetime, places: int = 100) -> int:
    claimed = claimer.claim(process=lease.process_id, places=places, now=now)
    land(c.id for c in claimed)
    return len(claimed)


@pytest.mark.parametrize("rate", [1, 3, 20, 150])
def test_in_no_window_are_there_more_than_the_rate_and_what_a_look_tolerates(
    tenant: Tenant, lease: ProcessLease, clock: Clock, rate: int
) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=50, rate_limit=rate)
    add_deliveries(tenant, [webhook], 400)
    chance = random.Random(rate)  # noqa: S311  the same looks each time
    claimers = Claimer(slots=50), Claimer(slots=50)
    taken: list[tuple[datetime, int]] = []
    for _ in range(60):
        claimer = chance.choice(claimers)
        taken.append((clock.now, take(claimer, lease, now=clock.now, places=chance.choice([1, 7, 100]))))
        clock.advance(seconds=chance.choice([0, 0.003, 0.05, 0.2, 1.7]))
    assert sum(count for _, count in taken) > rate
    for first, (began, _) in enumerate(taken):
        so_far = 0
        for at, count in taken[first:]:
            so_far += count
            assert so_far <= 1 + rate * (at - began + RATE_BURST).total_seconds()


def test_who_looks_often_enough_sends_at_the_whole_rate(tenant: Tenant, lease: ProcessLease, clock: Clock) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=50, rate_limit=30)
    add_deliveries(tenant, [webhook], 200)
    claimer = Claimer(slots=50)
    sent = 0
    for _ in range(101):
        sent += take(claimer, lease, now=clock.now)
        clock.advance(seconds=0.05)
    assert 30 * 5 <= sent <= 1 + 30 * (5 + 0.1)


def test_idle_time_saves_nothing_up(tenant: Tenant, lease: ProcessLease) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=50, rate_limit=20)
    add_deliveries(tenant, [webhook], 50)
    claimer = Claimer(slots=50)
    assert take(claimer, lease, now=NOON) == 3
    assert take(claimer, lease, now=NOON) == 0
    assert take(claimer, lease, now=NOON + HOUR) == 3


def test_a_limit_that_was_taken_away_limits_no_more_and_leaves_nobody_waiting(
    tenant: Tenant, lease: ProcessLease
) -> None:
    (webhook,) = add_webhooks(tenant.company, 1, slots=50, rate_limit=1)
    add_deliveries(tenant, [webhook], 20)
    claimer = Claimer(slots=50)
    assert take(claimer, lease, now=NOON) == 1
    Webhook.objects.update(rate_limit=None)
    assert next_of_limited(now=NOON) is None
    assert take(claimer, lease, now=NOON) == 19
    assert not claimer.contended


def test_of_those_that_are_limited_the_first_one_s_moment_is_known(tenant: Tenant, lease: ProcessLease) -> None:
    slow, slower, off, idle = [add_webhooks(tenant.company, 1, rate_limit=rate)[0] for rate in (2, 1, 5, 5)]
    add_deliveries(tenant, [slow], 5)
    add_retries(tenant, [slower, off], 5)
    add_retries(tenant, [idle], due=NOON + HOUR)
    assert next_of_limited(now=NOON) is None
    claimer = Claimer(slots=50)
    take(claimer, lease, now=NOON)
    Webhook.objects.filter(pk=off.pk).update(disabled_at=NOON)
    Endpoint.objects.filter(pk=idle.pk).update(rate_spent_until=NOON + timedelta(seconds=0.2))
    moment = next_of_limited(now=NOON)
    assert moment == NOON + timedelta(seconds=0.5) - RATE_BURST
    for now, there in [(moment - timedelta(microseconds=1), False), (moment, True)]:
        claimed = claimer.claim(process=lease.process_id, places=100, now=now)
        assert (slow.pk in {c.webhook_id for c in claimed}) is there


def test_a_sender_stays_for_what_only_waits_for_a_rate_limit(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    Webhook.objects.update(rate_limit=20)
    tenant.record(*[draft() for _ in range(12)], now=timezone.now())
    assert sender(clock=timezone.now).run() == 12
    assert {delivery.status for delivery in WebhookDelivery.objects.all()} == {"SUCCESS"}


def test_retries_count_and_the_next_moment_is_known(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    Webhook.objects.update(rate_limit=1)
    tenant.record(draft(), draft())
    webhook.deliveries.update(status="FAILED", attempt=1)
    assert next_of_limited(now=NOON) is None
    assert len(claim(process=lease.process_id, limit=100, now=NOON)) == 1
    following = next_of_limited(now=NOON)
    assert following == NOON + timedelta(seconds=1) - RATE_BURST
    assert claim(process=lease.process_id, limit=100, now=following - timedelta(milliseconds=1)) == []
    assert len(claim(process=lease.process_id, limit=100, now=following)) == 1


def test_one_endpoint_s_limit_is_not_another_s(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    Webhook.objects.update(rate_limit=1)
    free, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record(*[draft() for _ in range(5)])
    claimed = [row.webhook_id for row in claim(process=lease.process_id, limit=100, now=NOON)]
    assert (claimed.count(free.id), len(claimed)) == (5, 6)
