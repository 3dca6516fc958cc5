"""What a stream tells, by a real client from a real server."""

import json
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.chain import timestamp
from hyrelog.dev.redis import Redis
from jobs import publishing, redis_client
from jobs.enqueueing import enqueue, enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.streaming import following as following_redis
from jobs.streaming import state, telling
from tests.conftest import Tenant
from tests.hyrelog.dev.workshop import Workshop
from tests.jobs.steps import run_next
from tests.jobs.streaming.clients import PATH, add, following, ids, refusal, serve

pytestmark = pytest.mark.usefixtures("committed")


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
