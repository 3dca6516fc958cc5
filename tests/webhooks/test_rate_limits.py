"""A webhook's rate limit, by a clock that the test moves."""

from datetime import timedelta

import pytest

from jobs.leases import ProcessLease
from tests.conftest import NOON, Clock, Tenant, draft
from tests.webhooks.steps import claim
from webhooks.claiming import RATE_BURST, next_of_limited
from webhooks.models import Endpoint, Webhook

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def roomy(webhook: Webhook) -> None:
    Endpoint.objects.update(slots=1000)


@pytest.mark.parametrize("limit", [1, 5, 40])
def test_no_second_has_more_than_its_limit_and_what_comes_up_between_two_looks(
    tenant: Tenant, lease: ProcessLease, clock: Clock, limit: int
) -> None:
    Webhook.objects.update(rate_limit=limit)
    tenant.record(*[draft() for _ in range(4 * limit)])
    claimed = []
    while clock.now < NOON + 3 * SECOND:
        claimed += [clock.now] * len(claim(process=lease.process_id, limit=100, now=clock.now))
        clock.advance(milliseconds=50)
    busiest = max(sum(begins <= moment < begins + SECOND for moment in claimed) for begins in claimed)
    assert busiest <= 1 + limit * (1 + RATE_BURST / SECOND)
    assert 3 * limit <= len(claimed) <= 1 + limit * (3 + RATE_BURST / SECOND)


def test_an_endpoint_that_had_nothing_for_long_gets_no_more_at_once(
    tenant: Tenant, lease: ProcessLease, clock: Clock
) -> None:
    Webhook.objects.update(rate_limit=20)
    tenant.record()
    claim(process=lease.process_id, limit=100, now=clock.now)
    tenant.record(*[draft() for _ in range(50)], now=clock.advance(hours=1))
    assert len(claim(process=lease.process_id, limit=100, now=clock.now)) == 1 + 20 * (RATE_BURST / SECOND)


def test_retries_count_and_the_next_moment_is_known(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    Webhook.objects.update(rate_limit=1)
    tenant.record(draft(), draft())
    webhook.deliveries.update(status="FAILED", attempt=1)
    assert next_of_limited(now=NOON) is None
    assert len(claim(process=lease.process_id, limit=100, now=NOON)) == 1
    following = next_of_limited(now=NOON)
    assert following == NOON + SECOND - RATE_BURST
    assert claim(process=lease.process_id, limit=100, now=following - timedelta(milliseconds=1)) == []
    assert len(claim(process=lease.process_id, limit=100, now=following)) == 1


def test_one_endpoint_s_limit_is_not_another_s(tenant: Tenant, lease: ProcessLease) -> None:
    Webhook.objects.update(rate_limit=1)
    free, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record(*[draft() for _ in range(5)])
    claimed = [row.webhook_id for row in claim(process=lease.process_id, limit=100, now=NOON)]
    assert (claimed.count(free.id), len(claimed)) == (5, 6)
