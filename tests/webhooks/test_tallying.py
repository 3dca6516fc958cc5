"""What outcomes show of their endpoints, and how that is written."""

import threading
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import Error, connection, transaction

from tests.conftest import NOON, Tenant, open_tenant
from tests.webhooks.crowd import add_webhooks
from webhooks.claiming import Claimed
from webhooks.models import Endpoint, EndpointHour, Webhook
from webhooks.policy import RetryPolicy
from webhooks.sending.outcome import Kind, Outcome, Timing
from webhooks.settling import Settlement
from webhooks.tallying import Tally

SLOTS = 20
OK, ERROR = Outcome(Kind.DELIVERED, status=204), Outcome(Kind.REJECTED, status=500)
TIMEOUT, BUSY = Outcome(Kind.TIMEOUT), Outcome(Kind.REJECTED, status=503)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
pytestmark = pytest.mark.django_db


def shown(webhook: Webhook, outcome: Outcome, *, at: datetime = NOON, left: bool = True) -> Settlement:
    claimed = Claimed(uuid.uuid4(), uuid.uuid4(), webhook.pk, webhook.company_id, 1, 0, False, 1, False, uuid.uuid4())
    verdict = RetryPolicy((60,)).decide(outcome, failures=0, now=at, jitter=0)
    return Settlement(claimed, uuid.uuid4(), "https://example.com/", outcome, verdict, finished_at=at, left=left)


def tell(webhook: Webhook, *outcomes: Outcome, at: datetime = NOON) -> Endpoint:
    """As one batch that came in second by second."""
    tally = Tally(slots=SLOTS)
    for n, outcome in enumerate(outcomes):
        tally.add(shown(webhook, outcome, at=at + n * SECOND))
    tally.write()
    return Endpoint.objects.get(pk=webhook.pk)


@pytest.fixture
def webhook(tenant: Tenant) -> Webhook:
    return add_webhooks(tenant.company, 1, slots=8)[0]


# --- Slots ------------------------------------------------------------------------------------------------------


def test_each_success_is_a_slot_more_up_to_the_setting(webhook: Webhook) -> None:
    assert tell(webhook, OK).slots == 9
    assert tell(webhook, OK, OK, OK).slots == 12
    assert tell(webhook, *[OK] * 50).slots == SLOTS
    assert tell(webhook, OK).slots == SLOTS


@pytest.mark.parametrize(
    "outcome",
    [
        TIMEOUT,
        BUSY,
        Outcome(Kind.REJECTED, status=429),
        Outcome(Kind.REFUSED),
        Outcome(Kind.DISCONNECTED),
    ],
    ids=lambda outcome: f"{outcome.kind} {outcome.status}",
)
def test_a_sign_of_overload_halves_the_slots_whatever_else_came_with_it(webhook: Webhook, outcome: Outcome) -> None:
    assert tell(webhook, OK, outcome, OK, outcome).slots == 4


def test_there_is_always_a_slot_left_and_successes_bring_back_the_others(webhook: Webhook) -> None:
    slots = [tell(webhook, TIMEOUT).slots for _ in range(5)]
    assert slots == [4, 2, 1, 1, 1]
    assert [tell(webhook, OK).slots for _ in range(3)] == [2, 3, 4]


@pytest.mark.parametrize("outcome", [ERROR, Outcome(Kind.TLS), Outcome(Kind.DNS), Outcome(Kind.REJECTED, status=404)])
def test_a_failure_that_is_no_sign_of_overload_costs_no_slots(webhook: Webhook, outcome: Outcome) -> None:
    assert tell(webhook, outcome).slots == 8


def test_a_setting_that_was_lowered_takes_no_slots_away_here_since_each_claim_keeps_to_it(webhook: Webhook) -> None:
    Endpoint.objects.update(slots=50)
    assert tell(webhook, OK).slots == 50


# --- Slowness ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("last", "other"), [(None, 30_000.0), (3.5, 30_000.0), (1000.0, 1000.1), (1000.1, 1000.0)])
def test_an_endpoint_is_slow_while_its_last_answer_took_more_than_a_second(
    webhook: Webhook, last: float | None, other: float
) -> None:
    timed = [OK._replace(timing=Timing(total=total)) for total in (other, last)]
    assert tell(webhook, *timed).slow is (last == 1000.1)


# --- Failures ---------------------------------------------------------------------------------------------------


def test_failures_add_up_from_batch_to_batch_since_the_first_of_them(webhook: Webhook) -> None:
    assert tell(webhook, ERROR).failing_since == NOON
    endpoint = tell(webhook, ERROR, ERROR, at=NOON + HOUR)
    assert (endpoint.failures_in_a_row, endpoint.failing_since) == (3, NOON)
    assert (endpoint.last_failure_at, endpoint.last_success_at) == (NOON + HOUR + SECOND, None)


@pytest.mark.parametrize("outcomes", [[OK], [ERROR, OK], [OK, ERROR]])
def test_a_success_among_failures_ends_their_row_whichever_came_last(webhook: Webhook, outcomes: list[Outcome]) -> None:
    tell(webhook, ERROR, ERROR)
    endpoint = tell(webhook, *outcomes, at=NOON + HOUR)
    assert (endpoint.failures_in_a_row, endpoint.failing_since) == (0, None)
    assert endpoint.last_success_at == NOON + HOUR + SECOND * outcomes.index(OK)


def test_what_another_process_wrote_of_a_later_moment_stays(webhook: Webhook) -> None:
    tell(webhook, OK, ERROR, at=NOON + HOUR)
    endpoint = tell(webhook, OK, ERROR)
    assert (endpoint.last_success_at, endpoint.last_failure_at) == (NOON + HOUR, NOON + HOUR + SECOND)


def test_what_never_left_says_nothing(webhook: Webhook) -> None:
    tally = Tally(slots=SLOTS)
    tally.add(shown(webhook, Outcome(Kind.BLOCKED), left=False))
    assert not tally


# --- Hours ------------------------------------------------------------------------------------------------------


def test_attempts_are_counted_by_the_hour(webhook: Webhook) -> None:
    tell(webhook, OK, OK, ERROR)
    tell(webhook, OK, at=NOON + timedelta(minutes=59))
    tell(webhook, ERROR, at=NOON + HOUR)
    hours = EndpointHour.objects.order_by("hour").values_list("hour", "delivered", "failed")
    assert list(hours) == [(NOON, 3, 1), (NOON + HOUR, 0, 1)]


# --- Writing ----------------------------------------------------------------------------------------------------


def test_a_batch_of_many_endpoints_is_one_statement(tenant: Tenant, django_assert_num_queries: Any) -> None:
    tally = Tally(slots=SLOTS)
    for n, webhook in enumerate(add_webhooks(tenant.company, 30)):
        tally.add(shown(webhook, OK if n % 2 else TIMEOUT))
    with django_assert_num_queries(1):
        tally.write()
    assert set(Endpoint.objects.values_list("slots", "failures_in_a_row")) == {(9, 0), (4, 1)}
    assert not tally


def test_what_could_not_be_written_is_kept_for_the_next_time(webhook: Webhook) -> None:
    tally = Tally(slots=SLOTS)
    tally.add(shown(webhook, OK))

    def write_where_there_is_no_table() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path = pg_catalog")
            tally.write()

    with pytest.raises(Error):
        write_where_there_is_no_table()
    assert tally
    tally.write()
    assert Endpoint.objects.get().slots == 9


@pytest.fixture
def shared(committed: None) -> list[Webhook]:
    return add_webhooks(open_tenant("Acme").company, 40, slots=1)


def test_tallies_of_the_same_endpoints_at_once_neither_deadlock_nor_lose_anything(shared: list[Webhook]) -> None:
    """Each has them in another order, and both have begun, and wait, before either can end."""
    failures: list[Exception] = []

    def write(order: list[Webhook]) -> None:
        tally = Tally(slots=SLOTS)
        for webhook in order:
            tally.add(shown(webhook, OK))
        try:
            tally.write()
        except Error as error:
            failures.append(error)
        finally:
            connection.close()

    for _ in range(3):
        threads = [threading.Thread(target=write, args=[order]) for order in (shared, shared[::-1])]
        with transaction.atomic():
            Endpoint.objects.select_for_update(no_key=True).get(pk=shared[20].pk)
            for thread in threads:
                thread.start()
            while waiting() < 2 and all(thread.is_alive() for thread in threads):
                pass
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(Endpoint.objects.values_list("slots", flat=True)) == {7}
    assert set(EndpointHour.objects.values_list("delivered", flat=True)) == {6}


def waiting() -> int:
    """Backends that wait for somebody's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])
