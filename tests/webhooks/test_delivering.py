import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as Verifier

from audit.models import AuditEvent
from jobs.leases import ProcessLease
from jobs.models import WorkerProcess
from tests.conftest import NOON, Clock, Tenant, draft, open_tenant
from tests.receiver import Receiver
from tests.webhooks.steps import claim, depart, run_job
from webhooks import claiming, delivering, departing, rescuing, settling
from webhooks.delivering import Sender
from webhooks.models import Endpoint, Webhook, WebhookAttempt, WebhookDelivery
from webhooks.policy import LOST_LIMIT, RetryPolicy, Verdict
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.transport import Transport

MakeSender = Callable[..., Sender]
pytestmark = pytest.mark.django_db


def only() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


def test_an_event_arrives_signed_and_as_it_was_recorded(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    clock.now = timezone.now()
    (event,) = tenant.record(draft(payload={"ä": [1, 2.5]}, context={"traceId": "a" * 32}), now=clock.now)
    assert sender().run() == 1
    (request,) = receiver.requests
    Verifier(webhook.secret).verify(request.body, request.headers)
    body = json.loads(request.body)
    event.refresh_from_db()
    assert body == {"type": "user.login", "timestamp": event.as_json()["occurredAt"], "data": event.as_json()}
    assert request.headers["webhook-id"] == str(event.id)
    assert request.headers["hyrelog-attempt"] == "1"
    assert request.headers["hyrelog-trace-id"] == "a" * 32
    assert request.headers["traceparent"].startswith(f"00-{'a' * 32}-")
    assert request.headers["content-type"] == "application/json"


def test_success_is_recorded_with_what_came_back(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    receiver.status, receiver.body, receiver.headers = 200, b"ok \x00 \xff", {"x-request": "42"}
    tenant.record()
    sender().run()
    delivery, attempt = only(), WebhookAttempt.objects.get()
    assert (delivery.status, delivery.next_attempt_at, delivery.attempt) == ("SUCCESS", None, 1)
    assert delivery.completed_at == NOON
    assert (attempt.result, attempt.number, attempt.http_status, attempt.kind) == ("delivered", 1, 200, "delivered")
    assert attempt.address == "127.0.0.1"
    assert attempt.response_headers["x-request"] == "42"
    assert attempt.response_body == "ok \N{REPLACEMENT CHARACTER} \N{REPLACEMENT CHARACTER}"
    assert attempt.timing["total"] > 0


def test_a_failing_endpoint_is_tried_five_times_by_the_schedule_and_then_given_up(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    receiver.status = 500
    tenant.record()
    bodies = set()
    for number, pause in enumerate([60, 300, 1800, 21600], start=1):
        sender().run()
        delivery = only()
        assert (delivery.status, delivery.attempt, delivery.failures) == ("FAILED", number, number)
        assert delivery.next_attempt_at
        late = (delivery.next_attempt_at - clock.now).total_seconds() - pause
        assert 0 <= late <= 5
        clock.advance(seconds=pause - 1)
        sender().run()
        assert len(receiver.requests) == number  # not a second early
        clock.advance(seconds=6)
    sender().run()
    delivery = only()
    assert (delivery.status, delivery.next_attempt_at, delivery.attempt) == ("FAILED", None, 5)
    assert [request.headers["hyrelog-attempt"] for request in receiver.requests] == ["1", "2", "3", "4", "5"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    bodies = {request.body for request in receiver.requests}
    assert len(bodies) == 1
    assert list(WebhookAttempt.objects.order_by("number").values_list("result", flat=True)) == ["failed"] * 5


def test_a_retry_that_succeeds_ends_it(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    receiver.status = 503
    tenant.record()
    sender().run()
    receiver.status = 200
    clock.advance(seconds=66)
    sender().run()
    assert (only().status, only().failures, only().attempt) == ("SUCCESS", 1, 2)


def test_many_are_on_the_wire_at_once(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    tenant.record(*[draft(payload={"n": n}) for n in range(50)])
    assert sender().run() == 50
    assert {d.status for d in WebhookDelivery.objects.all()} == {"SUCCESS"}
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 50


def test_410_disables_the_webhook_tells_the_system_workspace_and_holds_what_follows(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, lease: ProcessLease
) -> None:
    receiver.status = 410
    tenant.record()
    sender().run()
    run_job(lease)
    webhook.refresh_from_db()
    assert not webhook.enabled
    assert "410" in webhook.disabled_reason
    told = AuditEvent.objects.get(workspace=tenant.company.system_workspace)
    payload = told.payload or {}
    assert (told.action, payload["webhookId"]) == ("webhook.disabled", str(webhook.id))
    assert (payload["consecutiveFailures"], payload["lastError"]) == (1, "status 410")
    tenant.record(draft(action="user.logout"))
    sender().run()
    states = dict(WebhookDelivery.objects.values_list("event__action", "status"))
    assert states == {"user.login": "FAILED", "user.logout": "HELD", "webhook.disabled": "HELD"}
    assert len(receiver.requests) == 1


def test_a_late_410_of_another_url_disables_nothing(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, lease: ProcessLease
) -> None:
    receiver.status = 410
    tenant.record()
    sender().run()
    assert webhook.change(url="https://example.com/new")
    run_job(lease)
    webhook.refresh_from_db()
    assert webhook.enabled


def test_a_claim_that_meets_a_disabled_endpoint_holds_the_row_and_counts_no_attempt(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    tenant.record()
    Webhook.objects.update(disabled_at=NOON)
    assert sender().run() == 0
    assert (only().status, only().attempt, only().next_attempt_at) == ("HELD", 0, None)
    assert receiver.requests == []


def test_a_claim_that_meets_a_deleted_endpoint_cancels_the_row(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    tenant.record()
    Webhook.objects.update(deleted_at=NOON)
    sender().run()
    assert (only().status, only().attempt) == ("CANCELLED", 0)
    assert receiver.requests == []


def test_a_secret_that_no_key_decrypts_is_a_failed_attempt_that_says_why(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    Webhook.objects.update(encrypted_secret="garbage")
    tenant.record()
    sender().run()
    assert (only().status, only().attempt, only().failures) == ("FAILED", 1, 1)
    assert only().next_attempt_at
    assert "restore the key" in only().error
    assert WebhookAttempt.objects.get().kind == "blocked"
    assert receiver.requests == []


def test_one_that_cannot_be_rendered_stands_in_nobody_s_way(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    tenant.record(draft(), draft(), draft())
    poisoned = WebhookDelivery.objects.order_by("id")[1]
    WebhookDelivery.objects.filter(pk=poisoned.pk).update(envelope_version=99)
    for _ in range(5):
        sender().run()
        clock.advance(hours=7)
    poisoned.refresh_from_db()
    assert (poisoned.status, poisoned.attempt, poisoned.next_attempt_at) == ("FAILED", 5, None)
    assert "could not make this request" in poisoned.error
    assert sorted(WebhookDelivery.objects.values_list("status", flat=True)) == ["FAILED", "SUCCESS", "SUCCESS"]


def test_what_cannot_be_sent_is_told_from_what_was_taken_away(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    """A stale worker between its claim and its record of sending: it writes nothing, and sends nothing."""
    tenant.record(draft(), draft())
    stale = claim(process=lease.process_id, limit=10, now=NOON)
    lease.give_up(lease.process_id)
    rescuing.rescue(now=NOON)
    (fresh,) = claim(process=lease.process_id, limit=1, now=NOON)
    assert depart(stale, now=NOON) == []
    assert not WebhookAttempt.objects.exists()
    assert len(depart([fresh], now=NOON)) == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [({"disabled_at": None}, "PENDING"), ({"deleted_at": NOON}, "CANCELLED"), ({}, "HELD")],
    ids=["enabled", "deleted", "still disabled"],
)
def test_what_is_held_for_nobody_is_let_go(
    tenant: Tenant, webhook: Webhook, change: dict[str, object], status: str
) -> None:
    """An event that was planned while its webhook was just being enabled, or deleted."""
    Webhook.objects.update(disabled_at=NOON)
    tenant.record()
    assert only().status == "HELD"
    Webhook.objects.update(**change)
    rescuing.rescue(now=NOON)
    assert only().status == status


def test_what_was_never_sent_is_never_given_up_and_waits_a_little_after_each_death(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    tenant.record()
    for deaths in range(LOST_LIMIT + 5):
        WebhookDelivery.objects.update(next_attempt_at=NOON)
        claim_one(lease)
        lease.give_up(lease.process_id)
        rescuing.rescue(now=NOON)
        due = only().next_attempt_at
        assert due
        assert 0 <= (due - NOON).total_seconds() <= deaths
    assert (only().status, only().attempt) == ("PENDING", 0)


def test_what_came_back_while_postgres_was_away_is_settled_once_it_is_there(
    committed: None, receiver: Receiver, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = open_tenant("Acme")
    Webhook.objects.register(company=tenant.company, url=receiver.url)
    with transaction.atomic():
        tenant.record(draft(), draft())
    process = WorkerProcess.objects.register(queues=[]).id
    settle, away = settling.settle, [2]

    def settle_after_a_while(settlements: list[settling.Settlement]) -> set[object]:
        if away[0]:
            away[0] -= 1
            raise OperationalError("server closed the connection unexpectedly")
        return settle(settlements)  # type: ignore[return-value]

    monkeypatch.setattr(delivering, "settle", settle_after_a_while)
    sender = Sender(
        process=lambda: process,
        transport=transport,
        policy=RetryPolicy((60,)),
        timeout=5,
        slots=50,
        clock=lambda: NOON,
        stopping=lambda: False,
    )
    assert sender.run() == 2
    assert {d.status for d in WebhookDelivery.objects.all()} == {"SUCCESS"}
    assert len(receiver.requests) == 2


def test_what_is_on_the_wire_is_brought_home_before_a_failed_claim_is_raised(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.record(*[draft() for _ in range(30)])
    Endpoint.objects.update(slots=20, slow=False)
    claims: list[int] = []

    class ClaimerThatClaimsOnce(claiming.Claimer):
        def claim(self, **arguments: Any) -> list[claiming.Claimed]:
            claims.append(1)
            if len(claims) > 1:
                raise OperationalError("gone")
            return super().claim(**arguments)

    monkeypatch.setattr(delivering, "Claimer", ClaimerThatClaimsOnce)
    with pytest.raises(OperationalError, match="gone"):
        sender().run()
    assert WebhookDelivery.objects.filter(status="SUCCESS").count() == 20
    assert not WebhookDelivery.objects.filter(status="SENDING").exists()


def test_a_sender_that_is_asked_to_stop_claims_nothing(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender
) -> None:
    tenant.record()
    assert sender(stopping=lambda: True).run() == 0
    assert only().status == "PENDING"


def test_large_bodies_take_turns_on_the_wire(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "BYTES_MOST", 300_000)
    most: list[int] = []
    leave = departing.depart

    def watched(claimed: list[claiming.Claimed], **arguments: Any) -> Any:
        departures, handed_back = leave(claimed, **arguments)
        most.append(len(departures))
        return departures, handed_back

    monkeypatch.setattr(delivering, "depart", watched)
    tenant.record(*[draft(payload={"text": "x" * 100_000}) for _ in range(15)])
    assert sender().run() == 15
    assert set(WebhookDelivery.objects.values_list("status", "attempt")) == {("SUCCESS", 1)}
    assert len(receiver.requests) == 15
    assert max(most) <= 3


def test_one_that_is_larger_than_the_room_goes_alone(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "BYTES_MOST", 10)
    tenant.record(draft(), draft())
    assert sender().run() == 2
    assert {d.status for d in WebhookDelivery.objects.all()} == {"SUCCESS"}


def test_a_full_claim_rings_for_help(tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender) -> None:
    rings: list[int] = []
    Endpoint.objects.update(slots=50, slow=False)
    tenant.record(*[draft() for _ in range(25)])
    sender(more=lambda: rings.append(1)).run()
    assert rings


def claim_one(lease: ProcessLease) -> claiming.Claimed:
    (claimed,) = claim(process=lease.process_id, limit=10, now=NOON)
    return claimed


def settlement(claimed: claiming.Claimed, attempt: WebhookAttempt | None = None) -> settling.Settlement:
    verdict = Verdict(WebhookDelivery.Status.SUCCESS, None, 0)
    attempt = attempt or WebhookAttempt.objects.get()
    return settling.Settlement(claimed, attempt.id, attempt.url, Outcome(Kind.DELIVERED, status=200), verdict, NOON)


def test_the_attempt_is_on_record_before_the_request_leaves(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    tenant.record()
    (departure,) = depart([claim_one(lease)], now=NOON)
    attempt = WebhookAttempt.objects.get()
    assert (attempt.id, attempt.number, attempt.result) == (departure.attempt, 1, "sending")
    assert attempt.finished_at is None


def test_a_claim_takes_no_more_than_its_limit_and_never_the_same_row_twice(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    tenant.record(*[draft() for _ in range(5)])
    first = claim(process=lease.process_id, limit=3, now=NOON)
    second = claim(process=lease.process_id, limit=3, now=NOON)
    assert (len(first), len(second)) == (3, 2)
    assert len({claimed.id for claimed in first + second}) == 5


def test_what_is_not_yet_due_is_not_claimed(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    tenant.record()
    early = NOON - timedelta(microseconds=1)
    assert claim(process=lease.process_id, limit=10, now=early) == []


def test_a_process_without_a_live_lease_claims_nothing(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    tenant.record()
    process = lease.process_id
    WorkerProcess.objects.update(lease_expires_at=NOON)
    assert claim(process=process, limit=10, now=NOON) == []


def test_rows_of_a_live_process_are_left_alone(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    tenant.record()
    claim_one(lease)
    assert rescuing.rescue(now=NOON) == 0
    assert only().status == "SENDING"


def test_what_was_claimed_but_not_sent_is_not_called_lost(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    tenant.record()
    claim_one(lease)
    lease.give_up(lease.process_id)
    assert rescuing.rescue(now=NOON) == 1
    delivery = only()
    assert (delivery.status, delivery.attempt) == ("PENDING", 0)
    assert delivery.next_attempt_at == NOON
    assert not WebhookAttempt.objects.exists()


def test_what_was_on_the_wire_is_lost_and_due_again_outside_the_schedule(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    tenant.record()
    depart([claim_one(lease)], now=NOON)
    lease.give_up(lease.process_id)
    assert rescuing.rescue(now=NOON) == 1
    delivery, attempt = only(), WebhookAttempt.objects.get()
    assert (delivery.status, delivery.attempt, delivery.failures) == ("FAILED", 1, 0)
    assert (delivery.next_attempt_at, delivery.lost_in_a_row) == (NOON, 1)
    assert (attempt.result, attempt.finished_at) == ("lost", NOON)
    assert "may have been delivered" in attempt.error


def test_ten_lost_attempts_in_a_row_are_the_end(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    tenant.record()
    for number in range(1, LOST_LIMIT + 1):
        assert only().next_attempt_at == NOON
        depart([claim_one(lease)], now=NOON)
        lease.give_up(lease.process_id)
        rescuing.rescue(now=NOON)
        assert only().lost_in_a_row == number
    assert (only().status, only().next_attempt_at, only().completed_at) == ("FAILED", None, NOON)


def test_a_late_answer_of_a_stale_worker_changes_nothing(tenant: Tenant, webhook: Webhook, lease: ProcessLease) -> None:
    tenant.record()
    stale = claim_one(lease)
    depart([stale], now=NOON)
    lost = WebhookAttempt.objects.get()
    lease.give_up(lease.process_id)
    rescuing.rescue(now=NOON)
    fresh = claim_one(lease)
    assert settling.settle([settlement(stale, lost)]) == set()
    lost.refresh_from_db()
    assert (only().status, lost.result) == ("SENDING", "lost")
    depart([fresh], now=NOON)
    second = WebhookAttempt.objects.get(number=2)
    assert settling.settle([settlement(fresh, second)]) == {fresh.id}
    assert (only().status, only().lost_in_a_row) == ("SUCCESS", 0)


def test_redelivering_begins_a_new_round_for_those_at_rest_only(
    tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: MakeSender, clock: Clock
) -> None:
    tenant.record()
    assert WebhookDelivery.objects.redeliver(now=NOON) == 0  # it waits already
    sender().run()
    assert WebhookDelivery.objects.redeliver(now=NOON) == 1
    sender().run()
    assert (only().status, only().attempt) == ("SUCCESS", 2)
    assert [request.headers["hyrelog-attempt"] for request in receiver.requests] == ["1", "2"]


def test_cancelling_ends_what_waits_and_leaves_what_is_on_the_wire(
    tenant: Tenant, webhook: Webhook, lease: ProcessLease
) -> None:
    tenant.record(draft(), draft())
    claim(process=lease.process_id, limit=1, now=NOON)
    assert WebhookDelivery.objects.cancel() == 1
    assert sorted(WebhookDelivery.objects.values_list("status", flat=True)) == ["CANCELLED", "SENDING"]
