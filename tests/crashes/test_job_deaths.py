"""What jobs run on is killed in the middle of them: each ends exactly once, and nobody has to help."""

import json
import re
from datetime import timedelta
from typing import Any

import psycopg
import redis
from django.utils.timezone import now

from tests.crashes.steps import SOON, is_ready, kill, leases_of_workers, let_run_out
from tests.system import System, wait_until

ENQUEUE = """
import json
import re
from jobs.enqueueing import enqueue
print(json.dumps([str(enqueue("test.long", payload, max_attempts=5)[0].pk) for payload in json.loads('''%s''')]))
"""


def enqueue(system: System, *payloads: dict[str, Any]) -> list[str]:
    said = system.manage("shell", "--verbosity", "0", "-c", ENQUEUE % json.dumps(payloads)).stdout
    ids: list[str] = json.loads(said)
    return ids


def stories(system: System, jobs: list[str]) -> list[tuple[Any, ...]]:
    """Of each job: its status, how its attempts ended, and how often its handler came to its end."""
    return system.sql(
        "SELECT status, (SELECT array_agg(outcome ORDER BY id) FROM jobs_jobattempt WHERE job_id = job.id), "
        "(SELECT count(*) FROM mark WHERE mark.job = job.id), lost FROM jobs_job AS job "
        "WHERE id = ANY(%s::uuid[]) ORDER BY array_position(%s::uuid[], id)",
        jobs,
        jobs,
    )


def wait_stories(system: System, jobs: list[str], expected: list[tuple[Any, ...]], *, seconds: float = SOON) -> None:
    wait_until(lambda: stories(system, jobs) == expected, seconds=seconds, what="", state=lambda: stories(system, jobs))


def test_postgres_killed_in_the_middle_of_jobs(system: System) -> None:
    """In a statement of one, in a transaction of another, and while a third has no business with it."""
    ways: list[dict[str, Any]] = [
        {"way": "query"},
        {"way": "hold lock", "seconds": 10},
        {"way": "sleep", "seconds": 10},
    ]
    jobs = enqueue(system, *ways)
    wait_stories(system, jobs, [("PROCESSING", ["running"], 0, 0)] * 3)
    kill(system, "postgres")

    def ended() -> bool:
        try:
            return [(status, marks) for status, _, marks, _ in stories(system, jobs)] == [("COMPLETED", 1)] * 3
        except psycopg.Error:
            return False

    wait_until(ended, seconds=90, what="each ended once", state=lambda: stories(system, jobs))
    wait_until(lambda: is_ready(system), seconds=60, what="/readyz")


def test_a_worker_killed_with_its_children_while_redis_forgets_everything(system: System) -> None:
    jobs = enqueue(system, {"way": "sleep"}, {"way": "listen"}, {"way": "compute"})
    wait_stories(system, jobs, [("PROCESSING", ["running"], 0, 0)] * 3)
    leases = leases_of_workers(system)
    kill(system, "worker")
    with redis.Redis.from_url(system.run["redis_url"]) as client:
        client.flushall()
    kill(system, "redis")
    let_run_out(system, leases)
    wait_stories(system, jobs, [("COMPLETED", ["lost", "completed"], 1, 1)] * 3)


def test_redis_killed_and_emptied_alone_interrupts_no_job(system: System) -> None:
    jobs = enqueue(system, {"way": "sleep", "seconds": 5}, {"way": "query", "seconds": 5})
    wait_stories(system, jobs, [("PROCESSING", ["running"], 0, 0)] * 2)
    with redis.Redis.from_url(system.run["redis_url"]) as client:
        client.flushall()
    kill(system, "redis")
    wait_stories(system, jobs, [("COMPLETED", ["completed"], 1, 0)] * 2)


def test_redis_killed_while_a_bell_for_later_is_held_ends_no_worker(system: System) -> None:
    worker = system.run["pids"]["worker"]
    asked = {"type": "sleep", "payload": {"seconds": 0}, "runAt": (now() + timedelta(seconds=5)).isoformat()}
    job = system.post("/v1/key/company/jobs", asked)["jobId"]
    with redis.Redis.from_url(system.run["redis_url"]) as client:
        wait_until(lambda: client.hlen("unacked"), seconds=SOON, what="the bell in the worker's hands")
    kill(system, "redis")
    wait_stories(system, [job], [("COMPLETED", ["completed"], 0, 0)])
    assert system.run["pids"]["worker"] == worker


def test_ctrl_c_in_development_hands_back_what_is_unfinished(system: System) -> None:
    jobs = enqueue(system, {"way": "sleep"}, {"way": "listen"})
    wait_stories(system, jobs, [("PROCESSING", ["running"], 0, 0)] * 2)
    system.stop()
    said = system.log.read_text()
    assert re.search(f"process_ended .*job={jobs[0]} .*reason=shutdown", said)
    assert re.search(f"job.settled .*job={jobs[1]} status=PENDING", said)
    assert "has not finished: killed" not in said
