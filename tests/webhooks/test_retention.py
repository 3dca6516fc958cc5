"""What ends by age, what stays however old it is, and that ending it keeps nobody waiting."""

import itertools
import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.ids import first_at
from tests.api import Api
from tests.conftest import Tenant, draft, open_tenant
from tests.plans import read_by, scans
from tests.receiver import Receiver
from tests.webhooks.many import seed_deliveries
from webhooks import retention
from webhooks.delivering import Sender
from webhooks.models import Endpoint, EndpointHour, Webhook, WebhookAttempt, WebhookDelivery

TODAY = timezone.now()
DAY = timedelta(days=1)
_serial = itertools.count()


def made(age: timedelta) -> uuid.UUID:
    """An id as it was made that long ago."""
    return uuid.UUID(int=first_at(TODAY - age).int + next(_serial))


@pytest.fixture
def webhook(tenant: Tenant) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url="https://example.com/", events=["none"])[0]


@pytest.fixture
def deliver(tenant: Tenant, webhook: Webhook) -> Callable[..., WebhookDelivery]:
    """Makes a delivery of a certain age, with attempts of certain ages."""

    def make(age: timedelta, *attempts: timedelta, **fields: Any) -> WebhookDelivery:
        (event,) = tenant.record()
        known: dict[str, Any] = {"status": "SUCCESS", "completed_at": TODAY - age, "attempt": len(attempts)}
        delivery = WebhookDelivery.objects.create(
            id=made(age),
            company=tenant.company,
            webhook=webhook,
            event=event,
            created_at=TODAY - age,
            **(known | fields),
        )
        for number, attempted in enumerate(attempts, start=1):
            WebhookAttempt.objects.create(
                id=made(attempted),
                company=tenant.company,
                delivery=delivery,
                number=number,
                result="delivered",
                started_at=TODAY - attempted,
            )
        return delivery

    return make


def attempts_of(delivery: WebhookDelivery) -> list[int]:
    return list(delivery.attempts.order_by("number").values_list("number", flat=True))


@pytest.mark.parametrize(
    "state",
    [
        {"status": "SUCCESS"},
        {"status": "FAILED"},
        {"status": "CANCELLED"},
        {"status": "HELD", "completed_at": None},
    ],
    ids=lambda state: state["status"],
)
def test_a_delivery_at_rest_ends_after_ninety_days_with_its_attempts(
    deliver: Callable[..., WebhookDelivery], state: dict[str, Any]
) -> None:
    old = deliver(91 * DAY, 91 * DAY, 1 * DAY, **state)
    young = deliver(89 * DAY, 20 * DAY, **state)
    assert retention.prune_deliveries(now=TODAY) == 1
    assert not WebhookAttempt.objects.filter(delivery_id=old.id).exists()
    assert WebhookDelivery.objects.get() == young
    assert attempts_of(young) == [1]
    assert retention.prune_deliveries(now=TODAY) == 0


@pytest.mark.parametrize(
    "state",
    [
        {"status": "PENDING", "next_attempt_at": TODAY - 400 * DAY},
        {"status": "FAILED", "next_attempt_at": TODAY - DAY},
        {"status": "FAILED", "next_attempt_at": TODAY + 30 * DAY},
        {"status": "PENDING", "replay": True, "next_attempt_at": TODAY},
        {"status": "SENDING", "claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()},
    ],
    ids=["fresh", "retry due", "retry scheduled", "replayed", "on the wire"],
)
def test_what_is_due_scheduled_or_on_the_wire_stays_however_old_with_every_attempt(
    deliver: Callable[..., WebhookDelivery], state: dict[str, Any]
) -> None:
    delivery = deliver(400 * DAY, 400 * DAY, 200 * DAY, **({"completed_at": None} | state))
    assert (retention.prune_attempts(now=TODAY), retention.prune_deliveries(now=TODAY)) == (0, 0)
    assert attempts_of(delivery) == [1, 2]


def test_a_delivery_that_was_asked_for_again_is_kept_from_its_new_end_on(
    deliver: Callable[..., WebhookDelivery],
) -> None:
    deliver(100 * DAY, completed_at=TODAY - 2 * DAY)
    assert retention.prune_deliveries(now=TODAY) == 0
    assert retention.prune_deliveries(now=TODAY + 89 * DAY) == 1


def test_attempts_end_before_their_delivery_whose_log_is_shorter_then(
    deliver: Callable[..., WebhookDelivery], api: Api
) -> None:
    delivery = deliver(40 * DAY, 40 * DAY, 31 * DAY, 29 * DAY)
    assert retention.prune_attempts(now=TODAY) == 2
    shown = api.get(f"/v1/key/company/deliveries/{delivery.id}").json()
    assert shown["attempts"] == 3
    assert [attempt["number"] for attempt in shown["attemptLog"]] == [3]


def test_a_delivery_without_its_attempts_can_still_be_redelivered(
    tenant: Tenant, receiver: Receiver, sender: Callable[..., Sender], clock: Any
) -> None:
    clock.now = timezone.now()
    Webhook.objects.register(company=tenant.company, url=receiver.url)
    tenant.record(now=clock.now)
    sender().run()
    later = clock.advance(days=31)
    assert retention.prune_attempts(now=later) == 1
    WebhookDelivery.objects.redeliver(now=later)
    sender().run()
    (delivery,) = WebhookDelivery.objects.all()
    assert (delivery.status, attempts_of(delivery)) == ("SUCCESS", [2])


def test_how_long_is_a_setting(deliver: Callable[..., WebhookDelivery], settings: Any) -> None:
    settings.WEBHOOK_ATTEMPT_RETENTION_DAYS, settings.WEBHOOK_RETENTION_DAYS = 2, 3
    deliver(2.5 * DAY, 2.5 * DAY)
    deliver(3.5 * DAY, 1 * DAY)
    assert (retention.prune_attempts(now=TODAY), retention.prune_deliveries(now=TODAY)) == (1, 1)


def test_hours_of_endpoints_end_after_seven_days(webhook: Webhook) -> None:
    endpoint = Endpoint.objects.get(webhook=webhook)
    for days in (8, 7.1, 6.9, 0):
        EndpointHour.objects.create(endpoint=endpoint, hour=TODAY - days * DAY, delivered=1)
    assert retention.prune_hours(now=TODAY) == 2
    assert EndpointHour.objects.filter(hour__gte=TODAY - 7 * DAY).count() == 2


def test_a_run_ends_after_so_many_batches_and_the_next_goes_on(
    deliver: Callable[..., WebhookDelivery], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    endpoint = Endpoint.objects.get(webhook=webhook)
    for number in range(9):
        deliver(100 * DAY, 100 * DAY)
        EndpointHour.objects.create(endpoint=endpoint, hour=TODAY - (8 + number) * DAY)
    for prune in (retention.prune_attempts, retention.prune_deliveries, retention.prune_hours):
        assert [prune(now=TODAY) for _ in range(4)] == [4, 4, 1, 0]


def test_what_has_to_stay_keeps_nothing_behind_it_from_ending(
    deliver: Callable[..., WebhookDelivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    monkeypatch.setattr(retention, "BATCHES", 1)
    for _ in range(5):
        deliver(200 * DAY, status="FAILED", completed_at=None, next_attempt_at=TODAY)
    deliver(100 * DAY)
    assert retention.prune_deliveries(now=TODAY) == 1


def test_rows_that_somebody_has_locked_are_passed_over_without_waiting(committed: None) -> None:
    tenant = open_tenant("Acme")
    webhook = Webhook.objects.register(company=tenant.company, url="https://example.com/")[0]
    with transaction.atomic():
        tenant.record(draft(), draft(), draft())
    WebhookDelivery.objects.update(status="HELD", next_attempt_at=None)
    locked = WebhookDelivery.objects.earliest("id").pk
    later, ended = timezone.now() + 91 * DAY, []

    def prune() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
        ended.append(retention.prune_deliveries(now=later))
        connection.close()

    with transaction.atomic():
        WebhookDelivery.objects.filter(pk=locked).locked().update(error="mine")
        thread = threading.Thread(target=prune)
        thread.start()
        thread.join(60)
        assert ended == [2]
    assert [delivery.pk for delivery in webhook.deliveries.all()] == [locked]
    assert retention.prune_deliveries(now=later) == 1


def test_each_batch_is_a_transaction_of_its_own(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAGE", 2)
    tenant = open_tenant("Acme")
    webhook = Webhook.objects.register(company=tenant.company, url="https://example.com/")[0]
    with transaction.atomic():
        tenant.record(*[draft() for _ in range(6)])
    webhook.delete_softly(now=timezone.now())
    deletes = itertools.count(1)

    def die_at_the_third(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "DELETE" in sql and next(deletes) == 3:
            raise ConnectionAbortedError
        return execute(sql, *rest)

    with connection.execute_wrapper(die_at_the_third), pytest.raises(ConnectionAbortedError):
        retention.prune_deliveries(now=timezone.now() + 91 * DAY)
    assert webhook.deliveries.count() == 2


# --- At some size -----------------------------------------------------------------------------------------------


def test_each_statement_goes_by_an_index_and_touches_a_page_of_a_large_table(
    tenant: Tenant, unchecked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_deliveries(tenant, webhooks=100, today=TODAY)
    monkeypatch.setattr(retention, "BATCHES", 3)
    ways: set[str] = set()
    rows: list[float] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        if "SAVEPOINT" not in sql:
            reads = sql.startswith("SELECT")  # what deletes is planned only: running it twice would do it twice
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON, ANALYZE {reads}) {sql}", params)
                ((plan,),) = cursor.fetchall()
            parts = list(scans(plan[0]["Plan"]))
            ways.update(part["Node Type"] for part in parts)
            rows.extend(read_by(part) for part in parts if reads)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        assert retention.prune_attempts(now=TODAY) == 3 * retention.PAGE
        assert retention.prune_deliveries(now=TODAY) == 3 * retention.PAGE
    assert ways <= {"Index Scan", "Index Only Scan", "Bitmap Index Scan", "Bitmap Heap Scan"}
    assert len(rows) > 40  # with the pages of what is still retried
    assert max(rows) <= retention.PAGE
