"""A worker dies at each point of a delivery: what was not sent is not called lost, what was sent is not forgotten.

Locks that the test holds keep the worker at the point where it is to be caught.
"""

import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.crashes.steps import (
    SOON,
    kill,
    leases_of_workers,
    let_run_out,
    processes_killed,
    rows,
    waiting_for,
)
from tests.receiver import Receiver, serve_receiver
from tests.system import System, wait_until
from webhooks.models.endpoint import FIRST_SLOTS

CLAIM, SETTLE = "WITH RECURSIVE fresh", "WITH verdict"
"""How the statements begin."""

ONCE = {("SUCCESS", 1, 0, 1, "delivered")}
TWICE = {("SUCCESS", 2, 0, 1, "lost"), ("SUCCESS", 2, 0, 2, "delivered")}
"""Status, attempts and failures of deliveries; number and result of each attempt."""
STORY = "status, attempt, failures, number, result"


@pytest.fixture(autouse=True)
def whole(system: System, ready: None) -> Iterator[None]:
    """Each test ends with nothing claimed by the dead."""
    yield
    claimed = "SELECT webhook_id, claimed_by FROM webhooks_webhookdelivery WHERE status = 'SENDING'"
    wait_until(lambda: not system.sql(claimed), seconds=SOON, what="no claim", state=lambda: system.sql(claimed))


@pytest.fixture
def blocker(system: System, whole: None) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(system.run["database_url"]) as connection:
        yield connection


def numbers(receiver: Receiver) -> list[str]:
    return [request.headers["hyrelog-attempt"] for request in receiver.requests]


def end(system: System, server_processes: list[int]) -> None:
    """End what the server does for the dead, as it does once it hears of their death."""
    system.sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", server_processes)


def test_killed_before_its_claim_commits_it_leaves_everything_as_it_was(
    system: System, blocker: "psycopg.Connection[Any]"
) -> None:
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["unclaimed.*"])
        blocker.execute("LOCK TABLE webhooks_endpoint IN SHARE MODE")
        system.record("unclaimed.yet")
        claiming = waiting_for(system, blocker, CLAIM)
        found = wait_until(claiming, seconds=SOON, what="the claim")
        story = rows(system, webhook, STORY)
        with processes_killed(system):  # their leases need not run out: nothing is theirs
            end(system, found)
            blocker.rollback()
            assert story() == {("PENDING", 0, 0, None, None)}
        wait_until(lambda: story() == ONCE, seconds=SOON, what="a first attempt", state=story)
        assert numbers(receiver) == ["1"]


def test_a_claim_that_the_server_commits_for_a_dead_worker_is_undone(
    system: System, blocker: "psycopg.Connection[Any]"
) -> None:
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["posthumous.*"])
        blocker.execute("LOCK TABLE webhooks_endpoint IN SHARE MODE")
        system.record("posthumous.claim")
        wait_until(waiting_for(system, blocker, CLAIM), seconds=SOON, what="the claim")
        story = rows(system, webhook, STORY)
        claimed = {("SENDING", 1, 0, None, None)}
        with processes_killed(system) as leases:
            blocker.rollback()
            wait_until(lambda: story() == claimed, seconds=SOON, what="a claim of the dead", state=story)
            let_run_out(system, leases)
        wait_until(lambda: story() == ONCE, seconds=SOON, what="a first attempt", state=story)
        assert numbers(receiver) == ["1"]


def test_killed_after_the_claim_and_before_its_attempts_are_on_record_it_has_sent_nothing(
    system: System, blocker: "psycopg.Connection[Any]"
) -> None:
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["claimed.*"])
        blocker.execute("LOCK TABLE webhooks_webhookattempt IN SHARE MODE")
        system.record("claimed.only")
        story = rows(system, webhook, STORY)
        claimed = {("SENDING", 1, 0, None, None)}
        wait_until(lambda: story() == claimed, seconds=SOON, what="the claim", state=story)
        with processes_killed(system) as leases:
            blocker.rollback()
            let_run_out(system, leases)
        wait_until(lambda: story() == ONCE, seconds=SOON, what="a first attempt", state=story)
        assert numbers(receiver) == ["1"]


def test_killed_with_requests_on_the_wire_it_has_maybe_delivered_and_all_is_sent_again(system: System) -> None:
    """The endpoint's slots are free again once its lease has run out; `test_ending_jobs` lets one do so by itself."""
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["killed.*"])
        receiver.gate.clear()
        ids = set(system.record(*["killed.worker"] * (FIRST_SLOTS + 4)))
        assert receiver.wait_for(FIRST_SLOTS)
        on_the_wire = {request.headers["webhook-id"] for request in receiver.requests}
        leases = leases_of_workers(system)
        kill(system, "worker")
        receiver.gate.set()
        let_run_out(system, leases)
        story = rows(system, webhook, STORY)
        expected = ONCE | TWICE
        wait_until(lambda: story() == expected, seconds=SOON, what="lost, then delivered", state=story)
        first, later = receiver.requests[:FIRST_SLOTS], receiver.requests[FIRST_SLOTS:]
        assert len(on_the_wire) == FIRST_SLOTS
        assert {(request.headers["webhook-id"], request.headers["hyrelog-attempt"]) for request in later} == {
            (event, "2" if event in on_the_wire else "1") for event in ids
        }
        assert len(later) == len(ids)
        bodies = {request.headers["webhook-id"]: request.body for request in later}
        assert all(bodies[request.headers["webhook-id"]] == request.body for request in first)


def answered_and_stuck(system: System, receiver: Receiver, blocker: "psycopg.Connection[Any]", action: str) -> Any:
    """A webhook whose only request was answered, and the server's process that cannot write so yet."""
    webhook = system.register(receiver.url, events=[action])
    receiver.gate.clear()
    system.record(action)
    assert receiver.wait_for(1)
    blocker.execute("SELECT FROM webhooks_webhookdelivery WHERE webhook_id = %s FOR NO KEY UPDATE", [webhook["id"]])
    receiver.gate.set()
    return webhook, wait_until(waiting_for(system, blocker, SETTLE), seconds=SOON, what="the settlement")


def test_killed_between_answer_and_settlement_it_has_maybe_delivered_and_it_is_sent_again(
    system: System, blocker: "psycopg.Connection[Any]"
) -> None:
    with serve_receiver() as receiver:
        webhook, settling = answered_and_stuck(system, receiver, blocker, "answered.unsettled")
        story = rows(system, webhook, STORY)
        with processes_killed(system) as leases:
            end(system, settling)
            blocker.rollback()
            assert story() == {("SENDING", 1, 0, 1, "sending")}
            let_run_out(system, leases)
        wait_until(lambda: story() == TWICE, seconds=SOON, what="lost, then delivered", state=story)
        first, second = receiver.requests
        assert numbers(receiver) == ["1", "2"]
        assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)

        url = f"/v1/key/company/webhooks/{webhook['id']}"
        (delivery,) = system.get(url + "/deliveries")["deliveries"]
        lost = system.get(f"/v1/key/company/deliveries/{delivery['id']}")["attemptLog"][0]
        assert (lost["result"], lost["status"]) == ("lost", None)
        assert "may have been delivered" in lost["error"]
        assert system.get(url)["health"]["last24h"]["failed"] == 0


def test_a_settlement_that_the_server_commits_for_a_dead_worker_counts(
    system: System, blocker: "psycopg.Connection[Any]"
) -> None:
    with serve_receiver() as receiver:
        webhook, _ = answered_and_stuck(system, receiver, blocker, "answered.settled")
        story = rows(system, webhook, STORY)
        with processes_killed(system) as leases:
            blocker.rollback()
            wait_until(lambda: story() == ONCE, seconds=SOON, what="the settlement", state=story)
            let_run_out(system, leases)
        system.record("answered.settled")
        assert receiver.wait_for(2, timeout=SOON)  # new processes are at work: the first one is left alone
        assert numbers(receiver) == ["1", "1"]


def test_a_late_answer_of_a_worker_that_only_slept_changes_nothing(system: System) -> None:
    with serve_receiver() as first, serve_receiver() as second:
        webhook = system.register(first.url, events=["stale.*"])
        first.gate.clear()
        system.record("stale.answer")
        assert first.wait_for(1)
        (claimer,) = system.sql(
            "SELECT process.id::text, pid FROM webhooks_webhookdelivery AS delivery "
            "JOIN jobs_workerprocess AS process ON process.id = claimed_by WHERE webhook_id = %s",
            webhook["id"],
        )
        lease, pid = claimer
        os.kill(pid, signal.SIGSTOP)
        try:
            system.patch(f"/v1/key/company/webhooks/{webhook['id']}", {"url": second.url})
            second.status = 500
            let_run_out(system, [lease])
            story = rows(system, webhook, STORY)
            failed = {("FAILED", 2, 1, 1, "lost"), ("FAILED", 2, 1, 2, "failed")}
            wait_until(lambda: story() == failed, seconds=SOON, what="lost, then failed", state=story)
            first.gate.set()
            everything = rows(system, webhook, "delivery::text, attempt::text")
            before, said = everything(), len(system.log.read_text())
        finally:
            os.kill(pid, signal.SIGCONT)
        stale = re.compile(r"deliveries\.settled .* stale=[1-9]")
        wait_until(lambda: stale.search(system.log.read_text()[said:]), seconds=SOON, what="the late answer")
        assert everything() == before
