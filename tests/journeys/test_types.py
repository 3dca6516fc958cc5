"""Workers that take only some types of jobs, as real processes against the tests' own database."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from jobs.enqueueing import enqueue
from jobs.models import Job, JobAttempt, Tick, WorkerProcess
from tests.system import ROOT, wait_until

Start = Callable[..., "Worker"]
EMAIL = {"to": "ada@example.com", "subject": "s", "text": "t"}


class Worker:
    """`celery -A hyrelog worker` with these arguments and settings, and what it says."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        self._log = log
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
        command = [sys.executable, "-m", "celery", "-A", "hyrelog", "worker", "--concurrency", "4", *arguments]
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"DATABASE_URL": url} | environment,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def says(self) -> str:
        return self._log.read_text()

    def wait_stopped(self) -> None:
        try:
            self.process.wait(30)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@pytest.fixture
def start(committed: None, tmp_path: Path) -> Iterator[Start]:
    Tick.objects.claim(name="sweep", period=60)  # so that they do not poll by themselves: bells alone bring them work
    workers: list[Worker] = []

    def start_one(*arguments: str, **environment: str) -> Worker:
        workers.append(Worker(tmp_path / f"worker-{len(workers)}", *arguments, **environment))
        return workers[-1]

    yield start_one
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.wait_stopped()


def processes(types: list[str]) -> set[str]:
    """Host and process id of those that take exactly these patterns."""
    return {str(row) for row in WorkerProcess.objects.alive() if row.types == types}


def ready(types: list[str], *, count: int = 4) -> set[str]:
    ready: set[str] = wait_until(
        lambda: len(found := processes(types)) >= count and found, seconds=30, what=f"workers for {types}"
    )
    return ready


def runners(job_type: str) -> set[str]:
    return set(JobAttempt.objects.filter(job__type=job_type).values_list("worker", flat=True))


def is_done(job: Job) -> bool:
    return Job.objects.filter(pk=job.pk, status="COMPLETED").exists()


def test_each_worker_runs_its_own_types_though_bells_ring_at_either(start: Start) -> None:
    """By JOB_TYPES one of them, by --types the other, which wins over JOB_TYPES."""
    start(JOB_TYPES="email.*")
    start("--types", "sleep, gdpr.*", JOB_TYPES="email.*")
    ours, theirs = ready(["email.*"]), ready(["sleep", "gdpr.*"])
    for _ in range(10):
        enqueue("email.send", EMAIL)
        enqueue("sleep", {"seconds": 0})
        enqueue("email.send", EMAIL)
        wait_until(lambda: not Job.objects.active().exists(), seconds=20, what="all jobs are done")
    assert set(Job.objects.values_list("status", flat=True)) == {"COMPLETED"}
    assert runners("email.send") <= ours
    assert runners("sleep") <= theirs


def test_a_worker_whose_slots_are_taken_passes_on_what_it_hears_for_others(start: Start) -> None:
    start("--types", "sleep")
    start("--types", "email.*")
    theirs, _ = ready(["sleep"]), ready(["email.*"])
    for _ in range(4):
        enqueue("sleep", {"seconds": 50})
    wait_until(lambda: Job.objects.filter(status="PROCESSING").count() == 2, seconds=20, what="both slots are taken")
    for _ in range(5):
        job, _ = enqueue("email.send", EMAIL)
        wait_until(partial(is_done, job), seconds=15, what="the e-mail is sent")
    assert not runners("email.send") & theirs
    Job.objects.filter(type="sleep").cancel(now=timezone.now())


def test_an_empty_option_takes_all_types_and_an_idle_worker_ends_at_once(
    start: Start,
) -> None:
    worker = start("--types", "", "-Q", "jobs,housekeeping", JOB_TYPES="email.*")
    ready([])
    assert {tuple(row.queues) for row in WorkerProcess.objects.all()} == {("housekeeping", "jobs")}
    job, _ = enqueue("sleep", {"seconds": 0})
    wait_until(lambda: is_done(job), seconds=20, what="the job is done")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == 0
    assert not WorkerProcess.objects.exists()
    assert "Traceback" not in worker.says()


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--types", "sleep,emial.*"], {}), ([], {"JOB_TYPES": "emial.*"})]
)
def test_a_pattern_of_no_type_is_refused_at_the_start(
    arguments: list[str], environment: dict[str, str], start: Start
) -> None:
    worker = start(*arguments, **environment)
    assert worker.process.wait(30) == 1
    assert "No type of job matches the pattern 'emial.*'; there are: " in worker.says()
    assert "Traceback" not in worker.says()
    assert not WorkerProcess.objects.exists()
