"""What becomes of a company's webhooks, through the API with its keys, the workers, and receivers of its own."""

import json
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Self

from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from tests.receiver import Received, Receiver, serve_receiver
from tests.system import System, wait_until

SOON = 30
"""Seconds: half of what the sweep would take."""


@dataclass
class Hook:
    """A webhook, as its owner sees it through the API."""

    system: System
    id: str
    created: dict[str, Any]

    @classmethod
    def register(cls, system: System, receiver: Receiver, **fields: Any) -> Self:
        created = system.register(receiver.url, **fields)
        return cls(system, created["id"], created)

    def show(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.system.get(f"/v1/key/company/webhooks/{self.id}")
        return shown

    def ask(self, verb: str, **body: Any) -> Any:
        return self.system.post(f"/v1/key/company/webhooks/{self.id}/{verb}", body)

    def deliveries(self) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = self.system.get(f"/v1/key/company/webhooks/{self.id}/deliveries")["deliveries"]
        return shown

    def attempts(self) -> list[dict[str, Any]]:
        """Those of its only delivery."""
        (delivery,) = self.deliveries()
        shown: list[dict[str, Any]] = self.system.get(f"/v1/key/company/deliveries/{delivery['id']}")["attemptLog"]
        return shown

    def statuses(self) -> Counter[str]:
        return Counter(delivery["status"] for delivery in self.deliveries())

    def wait_for(self, **statuses: int) -> None:
        wait_until(lambda: self.statuses() == statuses, seconds=SOON, what=str(statuses), state=self.deliveries)

    def wait_for_failures(self, in_a_row: int) -> None:
        """What endpoints show is written now and then."""
        wait_until(
            lambda: self.show()["health"]["consecutiveFailures"] == in_a_row,
            seconds=SOON,
            what=f"{in_a_row} failures in a row",
            state=self.show,
        )

    def work_off(self, verb: str, **body: Any) -> dict[str, Any]:
        """Ask for a job and wait for its end; its result."""
        url = f"/v1/key/company/jobs/{self.ask(verb, **body)['jobId']}"
        ended = {"COMPLETED", "FAILED", "CANCELLED"}
        job = wait_until(lambda: (job := self.system.get(url))["status"] in ended and job, seconds=SOON, what=verb)
        assert job["status"] == "COMPLETED", job
        result: dict[str, Any] = job["result"]
        return result


def ids(requests: list[Received]) -> list[str]:
    return sorted(request.headers["webhook-id"] for request in requests)


def recorded_at(system: System) -> dict[str, str]:
    """The moment at which each of the newest events was recorded."""
    events = system.get("/v1/key/company/events", limit=50)["events"]
    return {event["id"]: event["recordedAt"] for event in events}


def is_signed_by(secret: str, request: Received) -> bool:
    try:
        Verifier(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


def wait_for_polls(system: System) -> None:
    """Wait until a poll that began after this has ended: the one before the next."""
    tick = "SELECT slot FROM jobs_tick WHERE name = 'gdpr-export-poll'"
    ((now,),) = system.sql(tick)
    wait_until(lambda: system.sql(tick)[0][0] >= now + 2, seconds=SOON, what="two polls")


def test_what_comes_up_while_disabled_is_held_until_somebody_recovers_it(system: System) -> None:
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver, events=["held.*"])
        assert hook.ask("disable", reason="we move house")["disabledReason"] == "we move house"
        held = system.record(*["held.back"] * 3)
        assert hook.statuses() == {"HELD": 3}

        hook.ask("enable")
        new = system.record("held.not", "held.not")
        hook.wait_for(HELD=3, SUCCESS=2)
        wait_for_polls(system)
        assert hook.statuses() == {"HELD": 3, "SUCCESS": 2}
        assert ids(receiver.requests) == sorted(new)

        assert hook.work_off("recover", since=hook.created["createdAt"])["done"] == 3
        hook.wait_for(SUCCESS=5)
        recovered = receiver.requests[2:]
        assert ids(recovered) == sorted(held)
        assert {request.headers["hyrelog-attempt"] for request in recovered} == {"1"}
        assert not any("hyrelog-replay" in request.headers for request in recovered)


def test_an_endpoint_that_is_gone_is_disabled_and_another_webhook_tells(system: System) -> None:
    with serve_receiver() as gone, serve_receiver() as receiver:
        hook = Hook.register(system, gone, events=["gone.*"])
        other = Hook.register(system, receiver, events=["webhook.disabled"])
        gone.status = 410
        system.record("gone.away")
        assert receiver.wait_for(1, timeout=SOON)
        (request,) = receiver.requests
        assert is_signed_by(other.created["secret"], request)
        told = json.loads(request.body)["data"]
        assert (told["action"], told["category"]) == ("webhook.disabled", "hyrelog")
        assert told["payload"]["webhookId"] == hook.id
        assert told["payload"]["automatic"] is True
        assert "410" in told["payload"]["reason"]
        assert (told["payload"]["consecutiveFailures"], told["payload"]["lastError"]) == (1, "status 410")

        shown = hook.show()
        assert (shown["enabled"], shown["disabledReason"]) == (False, told["payload"]["reason"])
        assert other.show()["enabled"]
        system.record("gone.away")
        assert hook.statuses() == {"FAILED": 1, "HELD": 1}
        assert len(gone.requests) == 1


def test_what_was_given_up_is_recovered_once_the_endpoint_works_again(system: System) -> None:
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver, events=["broken.*"], retrySchedule=[])
        receiver.status = 500
        given_up = system.record(*["broken.down"] * 3)
        hook.wait_for(FAILED=3)
        assert {delivery["nextAttemptAt"] for delivery in hook.deliveries()} == {None}
        hook.wait_for_failures(3)

        receiver.status = 204
        assert hook.work_off("recover", since=hook.created["createdAt"])["done"] == 3
        hook.wait_for(SUCCESS=3)
        recovered, moments = receiver.requests[3:], recorded_at(system)
        assert ids(recovered) == sorted(given_up)
        for request in recovered:
            assert is_signed_by(hook.created["secret"], request)
            assert (request.headers["hyrelog-attempt"], request.headers["hyrelog-replay"]) == ("2", "true")
            assert request.headers["hyrelog-original-timestamp"] == moments[request.headers["webhook-id"]]
        hook.wait_for_failures(0)


def test_a_rotated_secret_signs_beside_the_old_one_or_alone(system: System) -> None:
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver, events=["rotated.*"])
        old = hook.created["secret"]
        rotated = hook.ask("rotate-secret")
        new = rotated["secret"]
        assert rotated["previousSecretValidUntil"] is not None
        system.record("rotated.softly")
        assert receiver.wait_for(1)
        newest = hook.ask("rotate-secret", overlapHours=0)["secret"]
        system.record("rotated.at_once")
        assert receiver.wait_for(2)
        signed = [[is_signed_by(secret, request) for secret in (old, new, newest)] for request in receiver.requests]
        assert signed == [[True, True, False], [False, False, True]]
        assert "whsec_" not in json.dumps(hook.show())


def test_a_time_range_is_replayed_to_a_new_webhook(system: System) -> None:
    first, _, fourth = (system.record(*[action] * 2)[0] for action in ("range.first", "range.second", "range.third"))
    system.record("another.in_between")
    moments = recorded_at(system)
    wanted = [event for event, moment in moments.items() if moments[first] <= moment < moments[fourth]]
    assert len(wanted) == 4
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver)
        period = {"from": moments[first], "to": moments[fourth]}
        assert hook.work_off("replay", **period, events=["range.*"])["planned"] == 4
        hook.wait_for(SUCCESS=4)
        assert ids(receiver.requests) == sorted(wanted)
        for request in receiver.requests:
            assert (request.headers["hyrelog-attempt"], request.headers["hyrelog-replay"]) == ("1", "true")
            assert request.headers["hyrelog-original-timestamp"] == moments[request.headers["webhook-id"]]
        assert hook.work_off("replay", **period, events=["range.first"])["redelivered"] == 2
        hook.wait_for(SUCCESS=4)
        assert len(receiver.requests) == 6
        hook.ask("disable")


def test_one_delivery_is_sent_again_as_it_was(system: System) -> None:
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver, events=["again.*"])
        system.record("again.please")
        hook.wait_for(SUCCESS=1)
        (delivery,) = hook.deliveries()
        assert system.post(f"/v1/key/company/deliveries/{delivery['id']}/redeliver")["status"] == "PENDING"
        hook.wait_for(SUCCESS=1)
        first, second = receiver.requests
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
        assert [request.headers.get("hyrelog-replay") for request in (first, second)] == [None, "true"]
        assert [(attempt["number"], attempt["result"]) for attempt in hook.attempts()] == [
            (1, "delivered"),
            (2, "delivered"),
        ]


def test_a_test_tells_what_is_there_and_what_is_not(system: System) -> None:
    with serve_receiver() as receiver:
        receiver.status, receiver.body = 200, b"welcome"
        hook = Hook.register(system, receiver, events=["nothing.else"])
        told = hook.ask("test")
        assert (told["delivered"], told["status"], told["body"]) == (True, 200, "welcome")
        assert (told["address"], told["dns"]["addresses"]) == ("127.0.0.1", ["127.0.0.1"])
        assert 0 < told["timing"]["firstByte"] <= told["timing"]["total"]
        (request,) = receiver.requests
        assert is_signed_by(hook.created["secret"], request)
        assert json.loads(request.body)["type"] == "webhook.test"
    told = hook.ask("test")
    assert (told["delivered"], told["kind"], told["status"]) == (False, "refused", None)
    assert told["error"]
    assert hook.deliveries() == []


def test_retries_by_a_schedule_of_seconds_are_never_early_and_wait_for_no_tick(system: System) -> None:
    pauses = [2, 3]
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver, events=["scheduled.*"], retrySchedule=pauses)
        receiver.status = 500
        with system.without_ticks():
            system.record("scheduled.soon")
            assert receiver.wait_for(3, timeout=SOON)
            wait_until(lambda: hook.attempts()[-1]["result"] == "failed", seconds=SOON, what="the end")
        (delivery,) = hook.deliveries()
        assert (delivery["status"], delivery["attempts"], delivery["nextAttemptAt"]) == ("FAILED", 3, None)
        attempts = hook.attempts()
        for pause, before, after in zip(pauses, attempts, attempts[1:], strict=False):
            due = datetime.fromisoformat(before["finishedAt"]) + timedelta(seconds=pause)
            assert datetime.fromisoformat(after["startedAt"]) >= due


def test_headers_and_credentials_arrive_and_the_log_masks_them(system: System) -> None:
    basic = b64encode(b"hyrelog:open sesame").decode()
    with serve_receiver() as receiver:
        hook = Hook.register(
            system,
            receiver,
            events=["masked.*"],
            headers={"X-Environment": "production", "X-Token": "t0p-secret"},
            authentication={"type": "basic", "username": "hyrelog", "password": "open sesame"},
        )
        system.record("masked.please")
        hook.wait_for(SUCCESS=1)
        (request,) = receiver.requests
        assert request.headers["x-environment"] == "production"
        assert request.headers["x-token"] == "t0p-secret"
        assert request.headers["authorization"] == f"Basic {basic}"
        (attempt,) = hook.attempts()
        sent = attempt["requestHeaders"]
        assert [sent[name] for name in ("X-Environment", "X-Token", "Authorization")] == ["***"] * 3
        assert sent["webhook-signature"] == request.headers["webhook-signature"]
        assert attempt["bodySha256"] == sha256(request.body).hexdigest()
        shown = json.dumps([attempt, hook.show(), hook.created])
        assert not [secret for secret in (basic, "open sesame", "t0p-secret") if secret in shown]


def test_a_limited_endpoint_gets_everything(system: System) -> None:
    """How many at once, `tests/webhooks/test_rates.py` asks a clock of its own."""
    with serve_receiver() as receiver:
        hook = Hook.register(system, receiver, events=["limited.*"], rateLimit=5)
        events = system.record(*["limited.flow"] * 20)
        hook.wait_for(SUCCESS=20)
        assert ids(receiver.requests) == sorted(events)
