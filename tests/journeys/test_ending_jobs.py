"""Handlers that do what they should not, in a real worker: every job ends once, and as it should."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.models import Job
from jobs.watching import EXIT_STATUS, GRACE
from tests.misbehaving.jobs import SOON, add, marks, wait_begun, wait_story
from tests.workers import Worker, running_worker

LEASE_AND_POLL = 45
"""Seconds within which a dead worker's job runs again."""
LONGER_THAN_A_LEASE = 33
"""Seconds."""
AGAIN = "completed"
"""How the second attempt ends: at once, and well."""


@pytest.fixture
def worker(committed: None, tmp_path: Path) -> Iterator[Worker]:
    with marks(), running_worker(tmp_path, processes=14) as worker:
        yield worker


def test_whatever_a_handler_does_its_job_ends_once_and_as_it_should(worker: Worker) -> None:
    children = {child.pid for child in worker.children()}
    renewed = [add(way, seconds=LONGER_THAN_A_LEASE) for way in ("sleep", "compute", "query")]
    killed, stuck = add("die"), add("hold interpreter")
    late = {way: add(way, job_type="test.short") for way in ("listen", "sleep", "query", "hold lock")}
    dead_letter = add("sleep", job_type="test.short", max_attempts=1)
    wanted_no_more = {way: add(way) for way in ("listen", "raise when told", "sleep")}
    waiting = add("listen", job_type="test.unknown")
    wait_begun(*wanted_no_more.values())
    asked = timezone.now()
    Job.objects.filter(pk__in=[job.pk for job in (*wanted_no_more.values(), waiting)]).cancel(now=asked)

    wait_story(waiting, "CANCELLED", [], 0, seconds=0.1)
    wait_story(wanted_no_more["listen"], "CANCELLED", ["cancelled"], 0)
    wait_story(wanted_no_more["raise when told"], "CANCELLED", ["failed"], 0)
    wait_story(late["listen"], "COMPLETED", ["timed_out", AGAIN], 1)

    wait_story(late["sleep"], "COMPLETED", ["timed_out", AGAIN], 1, seconds=GRACE + SOON)
    wait_story(late["query"], "COMPLETED", ["timed_out", AGAIN], 1)
    wait_story(late["hold lock"], "COMPLETED", ["lost", AGAIN], 1)  # nobody else could write to its row
    wait_story(dead_letter, "FAILED", ["timed_out"], 0)
    assert dead_letter.error == "timeout: the attempt took longer than 2 seconds"
    wait_story(wanted_no_more["sleep"], "CANCELLED", ["cancelled"], 0)
    for job in wanted_no_more.values():
        assert job.completed_at
        tell(job, "ended after its cancellation", job.completed_at - asked)

    for job in (killed, stuck):
        wait_story(job, "COMPLETED", ["lost", AGAIN], 1, seconds=LEASE_AND_POLL + SOON)
        first, second = job.history.order_by("id")
        tell(job, "ran again after its first start", second.started_at - first.started_at)
        assert job.lost == 1
    for job in renewed:
        wait_story(job, "COMPLETED", ["completed"], 1)

    said = worker.said()
    ended = [int(pid) for pid in re.findall(r"process_ended .*pid=(\d+)", said)]
    assert len(ended) == 5
    assert said.count(f"exited with 'exitcode {EXIT_STATUS}'") == 5
    assert {child.pid for child in worker.children()} >= children - set(ended) - dead(said)
    assert len(worker.children()) == len(children)
    assert "Traceback" not in said


def tell(job: Job, what: str, time: timedelta) -> None:
    """A figure that a reader of the run wants to see."""
    print(f"\n{job.payload['way']}: {what}: {time.total_seconds():.1f} s", end="")  # noqa: T201


def dead(said: str) -> set[int]:
    return {int(pid) for pid in re.findall(r"pid:(\d+) exited with 'signal 9", said)}
