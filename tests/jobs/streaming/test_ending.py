"""How a stream ends, other than by its client."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit.models import ApiKey
from jobs import publishing
from jobs.streaming import admission, telling
from tests.conftest import Tenant
from tests.jobs.streaming.clients import add, end_of, following, refusal, serve
from tests.system import wait_until

pytestmark = pytest.mark.usefixtures("committed")


@pytest.mark.parametrize("how", ["revoked", "expired", "restricted", "closed"])
def test_a_key_that_ends_ends_its_streams(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(telling, "LOOK_EVERY", 0.2)
    keys, now = ApiKey.objects.filter(company=acme.company), timezone.now()
    with following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"
        match how:
            case "revoked":
                keys.update(revoked_at=now)
            case "expired":
                keys.update(expires_at=now)
            case "restricted":
                keys.update(allowed_networks=["203.0.113.0/24"])
            case "closed":
                acme.company.close(now=now)
        assert end_of(follower)[0] == 4401


def test_the_key_is_looked_at_at_least_once_a_minute() -> None:
    assert telling.LOOK_EVERY + telling.PATIENCE < 60


@pytest.mark.parametrize("message", ["hello", b"hello"])
def test_a_client_that_sends_is_refused(address: str, acme: Tenant, message: str | bytes) -> None:
    with following(address, acme.company_key) as follower:
        follower.connection.send(message)
        assert end_of(follower)[0] == 1008


@pytest.mark.parametrize(("bound", "value"), [("MOST_WAITING", 10), ("PATIENCE", 0.3)])
def test_a_client_that_takes_nothing_is_given_up_and_keeps_its_place(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, bound: str, value: float
) -> None:
    monkeypatch.setattr(telling, bound, value)
    ended = threading.Event()
    original = telling.Telling.run

    async def run(self: telling.Telling) -> None:
        try:
            await original(self)
        finally:
            ended.set()

    monkeypatch.setattr(telling.Telling, "run", run)
    large = add(acme.company)
    large.error = "x" * 100_000
    with serve(ws_per_message_deflate=False) as (address, _), narrow(address) as connected:
        options: dict[str, Any] = {"sock": connected, "max_queue": 1, "max_size": None}
        with following(address, acme.company_key, **options) as follower:
            wait_until(lambda: admission._open, seconds=10, what="the stream")

            def flood() -> bool:
                publishing.publish("progress", large)
                return ended.is_set()

            wait_until(flood, seconds=20, what="the end of what is told")
            assert admission._open[acme.company.pk] == 1
            assert end_of(follower) == (1013, "The client takes messages too slowly; connect again.")
        wait_until(lambda: not admission._open, seconds=10, what="the end of the stream")


@contextmanager
def narrow(address: str) -> Iterator[socket.socket]:
    """A connection with little room for what its client has not read."""
    host, port = address.removeprefix("ws://").split(":")
    with socket.socket() as connected:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.connect((host, int(port)))
        yield connected


def test_a_stream_ends_where_the_database_fails_it(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telling, "LOOK_EVERY", 0.2)
    with following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"
        with keys_locked():
            terminate_whoever_waits()
        assert end_of(follower) == (1013, "The database is away; connect again in a moment.")
    with keys_locked(), ThreadPoolExecutor(1) as threads:
        asked = threads.submit(refusal, address, **{"x-hyrelog-key": acme.company_key})
        terminate_whoever_waits()
        status, body, headers = asked.result(20)
    assert (status, body["code"], headers["retry-after"]) == (503, "unavailable", "1")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@contextmanager
def keys_locked() -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE audit_apikey IN ACCESS EXCLUSIVE MODE")
        yield


def terminate_whoever_waits() -> None:
    """End the database session that waits for this one's lock, as a Postgres that is stopped would."""
    statement = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))
    """

    def terminate() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(statement)
            return cursor.fetchone() is not None

    wait_until(terminate, seconds=10, what="a session that waits")


def test_a_web_process_that_stops_says_so(acme: Tenant) -> None:
    with serve() as (address, server), following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"
        server.should_exit = True
        assert end_of(follower)[0] == 1012
    assert not admission._open


def test_a_stream_holds_no_connection_to_the_database_while_it_waits(address: str, acme: Tenant) -> None:
    with ExitStack() as stack:
        for _ in range(settings.DATABASE_POOL_SIZE + 2):
            follower = stack.enter_context(following(address, acme.company_key))
            assert follower.next()["event"] == "snapshot"
        answer = requests.get(
            address.replace("ws://", "http://") + "/v1/key/company/jobs",
            headers={"x-hyrelog-key": acme.company_key},
            timeout=10,
        )
        assert answer.status_code == 200
