"""Streams, by a real client from a real server: who may, what is told, and how a stream ends."""

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from audit.chain import timestamp
from audit.models import ApiKey, Company
from hyrelog.dev.redis import Redis
from jobs import publishing, redis_client
from jobs.enqueueing import enqueue, enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.streaming import admission, state, telling
from jobs.streaming import following as following_redis
from tests.conftest import Tenant, open_tenant
from tests.hyrelog.dev.workshop import Workshop
from tests.jobs.steps import run_next
from tests.jobs.streams import PATH, Follower, following, serve
from tests.system import wait_until

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def acme() -> Tenant:
    return open_tenant("Acme")


@pytest.fixture
def globex() -> Tenant:
    return open_tenant("Globex")


@pytest.fixture
def address() -> Iterator[str]:
    with serve() as (address, _):
        yield address


def add(company: Company, **options: Any) -> Job:
    return enqueue("sleep", {"seconds": 0}, company=company, **options)[0]


def ids(message: dict[str, Any]) -> set[str]:
    return {job["jobId"] for job in message["jobs"]}


def refusal(address: str, path: str = PATH, **headers: str) -> tuple[int, dict[str, Any], Any]:
    """The answer to a handshake that is refused: status, body, headers."""
    with pytest.raises(InvalidStatus) as refused, connect(address + path, additional_headers=headers, proxy=None):
        pass
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"null"), response.headers


def end_of(follower: Follower) -> tuple[int, str]:
    """With which code and reason the stream ends, whatever it tells before."""
    with pytest.raises(ConnectionClosed) as closed:
        follower.next_of("none at all")
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason


# --- Who may ----------------------------------------------------------------------------------------------------


def test_a_handshake_is_refused_as_http_would_refuse_it(address: str, acme: Tenant) -> None:
    http = address.replace("ws://", "http://") + "/v1/key/company/jobs"
    cases: list[dict[str, str]] = [{}, {"x-hyrelog-key": "hlk_unknown"}, {"x-hyrelog-key": acme.workspace_key}]
    for headers in cases:
        status, body, _ = refusal(address, **headers)
        answer = requests.get(http, headers=headers, timeout=10)
        assert (status, body) == (answer.status_code, answer.json())
        assert status in {401, 403}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"revoked_at": timezone.now()}, 401),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, 401),
        ({"allowed_networks": ["203.0.113.0/24"]}, 403),
    ],
)
def test_a_key_that_does_not_hold_here_opens_no_stream(
    address: str, acme: Tenant, change: dict[str, Any], status: int
) -> None:
    ApiKey.objects.filter(company=acme.company).update(**change)
    assert refusal(address, **{"x-hyrelog-key": acme.company_key})[0] == status


def test_behind_a_proxy_the_client_s_own_address_counts(address: str, acme: Tenant) -> None:
    ApiKey.objects.filter(company=acme.company).update(allowed_networks=["203.0.113.0/24"])
    headers = {"x-hyrelog-key": acme.company_key, "x-forwarded-for": "203.0.113.9"}
    with connect(address + PATH, additional_headers=headers, proxy=None) as connection:
        assert Follower(connection).next()["event"] == "snapshot"
    assert refusal(address, **headers | {"x-forwarded-for": "198.51.100.1"})[0] == 403


def test_a_closed_company_opens_no_stream(address: str, acme: Tenant) -> None:
    acme.company.close(now=timezone.now())
    assert refusal(address, **{"x-hyrelog-key": acme.company_key})[0] == 401


def test_a_key_in_the_url_opens_no_stream(address: str, acme: Tenant) -> None:
    assert refusal(address, f"{PATH}?key={acme.company_key}")[0] == 401


def test_a_bearer_token_opens_a_stream(address: str, acme: Tenant) -> None:
    headers = {"authorization": f"Bearer {acme.company_key}"}
    with connect(address + PATH, additional_headers=headers, proxy=None) as connection:
        assert Follower(connection).next()["event"] == "snapshot"


def test_opening_a_stream_counts_as_a_request(address: str, acme: Tenant, settings: Any) -> None:
    settings.API_RATE_LIMIT = 1
    settings.API_RATE_LIMIT = 3

    def open_one() -> bool:
        try:
            with following(address, acme.company_key):
                return False
        except InvalidStatus as refused:
            return (refused.response.status_code, "retry-after" in refused.response.headers) == (429, True)

    assert not open_one()
    wait_until(open_one, seconds=10, what="the limit")  # a minute may begin in between


def test_a_company_has_so_many_streams_at_once(
    address: str, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MOST_STREAMS", 1)
    with following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"
        status, body, _ = refusal(address, **{"x-hyrelog-key": acme.company_key})
        assert (status, body["code"]) == (429, "rate_limited")
        with following(address, globex.company_key) as other:
            assert other.next()["event"] == "snapshot"
    wait_until(lambda: not admission._open, seconds=10, what="the end of the streams")
    with following(address, acme.company_key) as follower:
        assert follower.next()["event"] == "snapshot"


@pytest.mark.parametrize("path", ["/", "/v1/key/company/jobs", f"{PATH}/", "/v1/key/company/jobs/stream/x", "/healthz"])
def test_other_paths_are_refused_cleanly(address: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    status, body, _ = refusal(address, path)
    assert (status, body["code"]) == (404, "not_found")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_plain_http_is_told_to_upgrade(address: str, acme: Tenant) -> None:
    url = address.replace("ws://", "http://") + PATH
    answer = requests.get(url, headers={"x-hyrelog-key": acme.company_key}, timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert requests.get(url, timeout=10).status_code == 401


# --- What is told -----------------------------------------------------------------------------------------------


def test_a_stream_begins_with_what_is_active_and_what_has_just_ended(address: str, acme: Tenant) -> None:
    now = timezone.now()
    waiting, scheduled, ended, old = (add(acme.company) for _ in range(4))
    Job.objects.filter(pk=scheduled.pk).update(run_at=now + timedelta(days=1))
    Job.objects.filter(pk=ended.pk).update(status="COMPLETED", completed_at=now - timedelta(minutes=50), result="R")
    Job.objects.filter(pk=old.pk).update(status="FAILED", completed_at=now - timedelta(minutes=70))
    with following(address, acme.company_key) as follower:
        snapshot = follower.next()
    assert snapshot.keys() == {"event", "at", "jobs", "complete"}
    assert (snapshot["event"], snapshot["complete"]) == ("snapshot", True)
    assert ids(snapshot) == {str(job.pk) for job in (waiting, scheduled, ended)}
    (shown,) = (job for job in snapshot["jobs"] if job["jobId"] == str(ended.pk))
    by_api = Job.objects.get(pk=ended.pk).as_json()
    assert by_api.pop("result") == "R"
    assert shown == by_api


def test_whoever_comes_back_says_since_when(address: str, acme: Tenant) -> None:
    now = timezone.now()
    early, late = add(acme.company), add(acme.company)
    for job, hours in ((early, 9), (late, 2)):
        Job.objects.filter(pk=job.pk).update(status="CANCELLED", completed_at=now - timedelta(hours=hours))
    assert ended_since(address, acme, now - timedelta(hours=3)) == {str(late.pk)}
    # A row's time is that of the start of its transaction, which a message may have overtaken.
    assert ended_since(address, acme, now - timedelta(hours=2) + state.OVERLAP / 2) == {str(late.pk)}
    assert ended_since(address, acme, now - timedelta(hours=2) + state.OVERLAP * 2) == set()


def ended_since(address: str, tenant: Tenant, moment: datetime) -> set[str]:
    with following(address, tenant.company_key, query=f"?since={timestamp(moment)}") as follower:
        return ids(follower.next())


@pytest.mark.parametrize("since", ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "0001-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(address: str, acme: Tenant, since: str) -> None:
    status, body, _ = refusal(address, f"{PATH}?since={since}", **{"x-hyrelog-key": acme.company_key})
    assert (status, body["code"], body["details"][0]["field"]) == (422, "invalid", "since")


def test_a_query_of_too_many_parts_is_refused(address: str, acme: Tenant) -> None:
    headers = {"x-hyrelog-key": acme.company_key}
    assert refusal(address, f"{PATH}?{'a&' * 1001}", **headers)[0] == 400


def test_a_snapshot_has_bounds_and_says_when_it_was_cut(
    address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = add(acme.company)
    Job.objects.filter(pk=ended.pk).update(status="COMPLETED", completed_at=timezone.now())
    active = [add(acme.company) for _ in range(4)]
    Job.objects.filter(pk=active[0].pk).update(status="PROCESSING", claim_token=uuid.uuid4(), claimed_by=uuid.uuid4())
    monkeypatch.setattr(state, "MOST_JOBS", 3)
    with following(address, acme.company_key) as follower:
        snapshot = follower.next()
    assert not snapshot["complete"]
    assert [job["jobId"] for job in snapshot["jobs"]] == [str(active[n].pk) for n in (0, 3, 2)]
    monkeypatch.setattr(state, "MOST_BYTES", 800)
    with following(address, acme.company_key) as follower:
        snapshot = follower.next()
    assert not snapshot["complete"]
    assert 0 < len(snapshot["jobs"]) < 3


def test_the_largest_snapshot_fits_into_what_clients_take(address: str, acme: Tenant) -> None:
    with transaction.atomic():
        enqueue_many("sleep", [{"seconds": 0}] * 1200, company=acme.company)
    Job.objects.update(error="ü" * 2000)
    with following(address, acme.company_key) as follower:
        text = follower.connection.recv(20)
    assert len(text.encode()) < 2**20  # type: ignore[union-attr]
    assert not json.loads(text)["complete"]


def test_each_change_of_a_job_is_one_message(address: str, acme: Tenant, lease: ProcessLease) -> None:
    with following(address, acme.company_key) as follower:
        assert follower.next()["jobs"] == []
        job = enqueue("sleep", {"seconds": 2.1}, company=acme.company)[0]
        assert run_next(lease)
        follower.next_of("completed")
    told = [(message["event"], message["job"]["status"]) for message in follower.heard[1:]]
    assert told[:2] == [("created", "PENDING"), ("started", "PROCESSING")]
    assert set(told[2:-1]) == {("progress", "PROCESSING")}
    assert told[-1] == ("completed", "COMPLETED")
    assert {message["job"]["jobId"] for message in follower.heard[1:]} == {str(job.pk)}
    assert "result" not in follower.heard[-1]["job"]


def test_a_company_hears_of_its_own_jobs_only(address: str, acme: Tenant, globex: Tenant) -> None:
    before = {tenant.company.pk: add(tenant.company) for tenant in (acme, globex)}
    with following(address, acme.company_key) as ours, following(address, globex.company_key) as theirs:
        assert ids(ours.next()) == {str(before[acme.company.pk].pk)}
        assert ids(theirs.next()) == {str(before[globex.company.pk].pk)}
        enqueue("sleep", {"seconds": 0})  # nobody's
        foreign, own = add(globex.company), add(acme.company)
        assert publishing.wait_published(10)
        assert ours.next()["job"]["jobId"] == str(own.pk)
        assert theirs.next()["job"]["jobId"] == str(foreign.pk)


def test_what_was_lost_on_the_way_is_told_later(address: str, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LOOK_EVERY", 0.2)
    same, changed = add(acme.company), add(acme.company)
    with following(address, acme.company_key) as follower:
        assert ids(follower.next()) == {str(same.pk), str(changed.pk)}
        Job.objects.filter(pk=changed.pk).update(status="CANCELLED", completed_at=timezone.now())
        message = follower.next()
        assert (message["event"], ids(message)) == ("state", {str(changed.pk)})
        assert message["jobs"][0]["status"] == "CANCELLED"
        add(acme.company)
        assert follower.next()["event"] in {"created", "state"}


def test_a_stream_outlives_a_restart_of_redis_and_misses_nothing(
    acme: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(following_redis, "AGAIN_AFTER", 0.1)
    monkeypatch.setattr(redis_client, "_client", None)
    workshop = Workshop(tmp_path)
    tmp_path.chmod(0o711)
    try:
        server = workshop.started(Redis)
        settings.REDIS_URL = server.url
        with serve() as (address, _), following(address, acme.company_key) as follower:
            assert follower.next()["jobs"] == []
            before = add(acme.company)
            assert follower.next()["job"]["jobId"] == str(before.pk)
            server.stop()
            unheard = add(acme.company)
            assert publishing.wait_published(20)
            Job.objects.filter(pk=before.pk).update(status="CANCELLED", completed_at=timezone.now())
            server.start()
            snapshot = follower.next_of("snapshot")
            assert {job["jobId"]: job["status"] for job in snapshot["jobs"]} == {
                str(before.pk): "CANCELLED",
                str(unheard.pk): "PENDING",
            }
            after = add(acme.company)
            assert follower.next_of("created")["job"]["jobId"] == str(after.pk)
    finally:
        assert publishing.wait_published(20)
        workshop.clear()


def test_without_redis_a_stream_tells_what_the_rows_say(
    acme: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(redis_client, "_client", None)
    monkeypatch.setattr(telling, "FIRST_LOOK", 0.2)
    monkeypatch.setattr(telling, "LOOK_EVERY", 0.2)
    with serve() as (address, _), following(address, acme.company_key) as follower:
        assert follower.next() | {"at": ""} == {"event": "snapshot", "at": "", "jobs": [], "complete": True}
        job = add(acme.company)
        message = follower.next()
        assert (message["event"], ids(message)) == ("state", {str(job.pk)})
    assert publishing.wait_published(20)


# --- How it ends ------------------------------------------------------------------------------------------------


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
