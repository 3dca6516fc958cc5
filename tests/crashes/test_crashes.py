"""Processes are killed in the middle of their work: nothing is lost, nothing is finished twice, nobody has to help."""

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import redis
import requests

from tests.receiver import serve_receiver
from tests.system import System, wait_until

LEASE_AND_MORE = 60
"""Seconds in which a dead worker's rows must be due again, sent and settled; the design promises 45 for the first."""


def kill(system: System, name: str) -> None:
    """End a process, and for workers all of its children, without a word of warning."""
    pid = system.run["pids"][name]
    if name in {"postgres", "redis"}:
        os.kill(pid, signal.SIGKILL)
    else:
        os.killpg(pid, signal.SIGKILL)


def rows(system: System, webhook: dict[str, Any], columns: str) -> Callable[[], set[tuple[Any, ...]]]:
    statement = (
        f"SELECT {columns} FROM webhooks_webhookdelivery AS delivery "
        "LEFT JOIN webhooks_webhookattempt AS attempt ON attempt.delivery_id = delivery.id "
        "WHERE delivery.webhook_id = %s"
    )
    return lambda: set(system.sql(statement, webhook["id"]))


def is_ready(system: System) -> bool:
    try:
        return requests.get(system.run["web"] + "/readyz", timeout=10).ok
    except OSError:
        return False


def test_a_worker_killed_with_requests_on_the_wire(system: System) -> None:
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["killed.*"])
        receiver.gate.clear()
        ids = set(system.record(*["killed.worker"] * 10))
        assert receiver.wait_for(10)
        kill(system, "worker")
        assert receiver.wait_for(20, timeout=LEASE_AND_MORE)
        receiver.gate.set()
        found = rows(system, webhook, "status, attempt, failures, number, result")
        expected = {("SUCCESS", 2, 0, 1, "lost"), ("SUCCESS", 2, 0, 2, "delivered")}
        wait_until(lambda: found() == expected, seconds=30, what="lost, then delivered", state=found)
        first, second = receiver.requests[:10], receiver.requests[10:]
        assert {request.headers["webhook-id"] for request in first} == ids
        assert {request.headers["webhook-id"] for request in second} == ids
        assert {request.headers["hyrelog-attempt"] for request in second} == {"2"}
        assert {request.body for request in first} == {request.body for request in second}


def test_a_worker_killed_after_the_claim_and_before_anything_was_sent(system: System) -> None:
    """The table of attempts is locked, so that the worker stands between its claim and its first record of sending."""
    with serve_receiver() as receiver, psycopg.connect(system.run["database_url"]) as blocker:
        webhook = system.register(receiver.url, events=["claimed.*"])
        blocker.execute("LOCK TABLE webhooks_webhookattempt IN SHARE MODE")
        system.record("claimed.only")
        status = rows(system, webhook, "status, attempt")
        wait_until(lambda: status() == {("SENDING", 1)}, seconds=15, what="the claim")
        kill(system, "worker")
        blocker.rollback()
        found = rows(system, webhook, "status, attempt, number, result")
        delivered = {("SUCCESS", 1, 1, "delivered")}
        wait_until(lambda: found() == delivered, seconds=LEASE_AND_MORE, what="a first attempt", state=found)
        assert [request.headers["hyrelog-attempt"] for request in receiver.requests] == ["1"]


def test_a_worker_killed_in_the_middle_of_an_export(system: System) -> None:
    with psycopg.connect(system.run["database_url"]) as blocker:
        blocker.execute("LOCK TABLE gdpr_downloadlink IN ACCESS EXCLUSIVE MODE")
        job_id = system.post("/v1/key/company/gdpr/export", {"scope": "company"})["jobId"]
        url = f"/v1/key/company/gdpr/exports/{job_id}"
        wait_until(lambda: system.get(url)["status"] == "PROCESSING", seconds=15, what="the claim")
        kill(system, "worker")
        blocker.rollback()
    shown = wait_until(
        lambda: (export := system.get(url))["status"] == "COMPLETED" and export, seconds=LEASE_AND_MORE, what="export"
    )
    assert shown["attempts"] == 2
    files = [path.name for path in (system.home / "state" / "exports").iterdir() if job_id in path.name]
    assert files == [f"{job_id}-2.zip"]


def test_redis_killed_and_emptied_costs_no_event(system: System) -> None:
    with serve_receiver() as receiver:
        system.register(receiver.url, events=["redis.*"])
        with redis.Redis.from_url(system.run["redis_url"]) as client:
            client.flushall()
        kill(system, "redis")
        ids = set(system.record(*["redis.gone"] * 5))
        assert receiver.wait_for(5, timeout=60)
        assert {request.headers["webhook-id"] for request in receiver.requests} == ids
    wait_until(lambda: is_ready(system), seconds=60, what="/readyz")


def test_postgres_killed_with_requests_on_the_wire(system: System) -> None:
    with serve_receiver() as receiver:
        webhook = system.register(receiver.url, events=["postgres.*"])
        receiver.gate.clear()
        ids = set(system.record(*["postgres.gone"] * 5))
        assert receiver.wait_for(5)
        kill(system, "postgres")
        receiver.gate.set()

        def delivered() -> bool:
            try:
                return rows(system, webhook, "status")() == {("SUCCESS",)}
            except psycopg.Error:
                return False

        wait_until(delivered, seconds=90, what="all delivered")
        assert {request.headers["webhook-id"] for request in receiver.requests} == ids
    wait_until(lambda: is_ready(system), seconds=60, what="/readyz")
    assert "intact" in system.manage("verify_chain").stdout


@pytest.fixture(autouse=True)
def ready(system: System) -> None:
    wait_until(lambda: is_ready(system), seconds=60, what="/readyz")
