"""A company follows its jobs through the whole of HyreLog: a web process, a worker, a command, and restarts of each."""

import os
import signal

import requests

from tests.crashes.steps import kill
from tests.jobs.streaming.clients import Follower, end_of, following
from tests.system import System, wait_until

ENQUEUE = """
from audit.models import Company
from jobs.enqueueing import enqueue
print(enqueue("sleep", {{"seconds": {seconds}}}, company=Company.objects.get(pk="{company}"))[0].pk)
"""


def enqueue(system: System, *, seconds: float = 0) -> str:
    """Enqueue a job by a command, which ends at once; its id."""
    code = ENQUEUE.format(seconds=seconds, company=system.run["company_id"])
    return system.manage("shell", "-v", "0", "-c", code).stdout.split()[-1]


def address(system: System) -> str:
    return str(system.run["web"]).replace("http://", "ws://")


def told(follower: Follower, job: str) -> list[str]:
    """The events of a job, until it is completed."""
    events: list[str] = []
    while not events or events[-1] != "completed":
        message = follower.next_of("created", "started", "progress", "completed", "retrying", "failed", "lost")
        if message["job"]["jobId"] == job:
            events.append(message["event"])
    return events


def status(follower: Follower, job: str) -> str | None:
    """How a job stands, as far as the client was told."""
    known = [shown for message in follower.heard for shown in message.get("jobs") or [message.get("job", {})]]
    return next((shown["status"] for shown in reversed(known) if shown.get("jobId") == job), None)


def test_a_client_hears_of_each_change_of_a_job_that_a_worker_runs(system: System) -> None:
    with following(address(system), system.run["company_key"]) as follower:
        assert follower.next()["event"] == "snapshot"
        events = told(follower, enqueue(system, seconds=2.1))
    assert sorted(set(events)) == ["completed", "created", "progress", "started"]
    assert [events.count(name) for name in ("created", "started", "completed")] == [1, 1, 1]


def test_a_worker_that_stops_tells_of_the_job_that_it_hands_back(system: System) -> None:
    with following(address(system), system.run["company_key"]) as follower:
        assert follower.next()["event"] == "snapshot"
        job = enqueue(system, seconds=5)
        while follower.next_of("started")["job"]["jobId"] != job:
            pass
        os.kill(system.run["pids"]["worker"], signal.SIGTERM)
        events = told(follower, job)
    handed_back = events.index("retrying")
    assert "started" in events[handed_back:]


def test_a_long_message_of_a_client_is_not_even_read(system: System) -> None:
    with following(address(system), system.run["company_key"]) as follower:
        assert follower.next()["event"] == "snapshot"
        follower.connection.send("x" * 2000)
        assert end_of(follower)[0] == 1009


def test_a_stream_outlives_redis(system: System) -> None:
    with following(address(system), system.run["company_key"]) as follower:
        assert follower.next()["event"] == "snapshot"
        kill(system, "redis")
        meanwhile = enqueue(system)
        follower.next_of("snapshot")
        while status(follower, meanwhile) != "COMPLETED":
            follower.next()
        assert told(follower, enqueue(system))[-1] == "completed"


def test_a_client_that_comes_back_misses_nothing(system: System) -> None:
    web = system.run["pids"]["web"]
    with following(address(system), system.run["company_key"]) as follower:
        last = follower.next()["at"]
        os.kill(web, signal.SIGTERM)
        assert end_of(follower)[0] == 1012
    job = enqueue(system)
    statement = "SELECT status FROM jobs_job WHERE id = %s"
    wait_until(lambda: system.sql(statement, job) == [("COMPLETED",)], seconds=60, what="the job's end")
    wait_until(lambda: answers(system), seconds=60, what="the web's return")
    with following(address(system), system.run["company_key"], query=f"?since={last}") as follower:
        snapshot = follower.next()
    assert {shown["jobId"]: shown["status"] for shown in snapshot["jobs"]}[job] == "COMPLETED"


def answers(system: System) -> bool:
    try:
        return requests.get(f"{system.run['web']}/healthz", timeout=5).ok
    except OSError:
        return False
