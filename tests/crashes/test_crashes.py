"""Processes are killed in the middle of their work: nothing is lost, nothing is finished twice, nobody has to help."""

import psycopg
import redis

from tests.crashes.steps import is_ready, kill, rows
from tests.receiver import serve_receiver
from tests.system import System, wait_until


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
