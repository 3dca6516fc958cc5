"""A handler is told to end, and its process is ended where it does not listen; that happens in a child of the test."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from jobs import registry, rescuing, running, watching
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job, WorkerProcess
from jobs.registry import handler
from jobs.watching import EXIT_STATUS, Reason, Watch
from tests.jobs.steps import claim, never
from tests.system import wait_until

pytestmark = pytest.mark.usefixtures("committed")
SOON = 20
"""Seconds."""
LONG = 3600.0
"""Seconds."""


@pytest.fixture
def job(committed: None, lease: ProcessLease, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A claimed one, whose watch looks and ends without delay."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))
    handler("test", timeout=LONG, max_attempts=2)(lambda context: None)
    for name, value in {"LOOK_EVERY": 0.02, "TICK": 0.01, "GRACE": 0.1}.items():
        monkeypatch.setattr(watching, name, value)
    enqueue("test", {})
    return claim(lease, now=timezone.now())


def watch(job: Job, *, timeout: float = LONG, stopping: Callable[[], bool] = never, **options: Any) -> Watch:
    return Watch(job, timeout=timeout, stopping=stopping, **options)


def cancel() -> None:
    Job.objects.cancel(now=timezone.now())


def take_away(lease: ProcessLease) -> Job:
    """Another process has the job now."""
    lease.give_up(lease.process_id)
    assert rescuing.rescue("jobs", now=timezone.now()) == 1
    return claim(lease, now=timezone.now())


def exit_status(run: Callable[[], object]) -> int:
    """Of a child process in which that is called; 0 where it comes to its end."""
    connection.close()  # each has one of its own
    child = os.fork()
    if child == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = wait_until(
        lambda: (ended := os.waitpid(child, os.WNOHANG))[0] and ended, seconds=SOON, what="the child's end"
    )
    return os.waitstatus_to_exitcode(status)


def rows(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def ignore(watched: Watch) -> None:
    """A handler that does not listen."""
    with watched:
        threading.Event().wait(SOON)


# --- Told -------------------------------------------------------------------------------------------------------


def test_nobody_is_told_for_no_reason(job: Job) -> None:
    watched = watch(job)
    watched.look()
    assert watched.reason is None
    assert not watched.wait(0.01)


def test_a_shutdown_comes_before_a_timeout(job: Job) -> None:
    assert watch(job, timeout=-1).reason == Reason.TIMEOUT
    assert watch(job, timeout=-1, stopping=lambda: True).reason == Reason.SHUTDOWN


def test_a_cancellation_takes_the_place_of_a_shutdown_and_of_nothing_else(job: Job) -> None:
    stopping, late = watch(job, stopping=lambda: True), watch(job, timeout=-1)
    assert (stopping.reason, late.reason) == (Reason.SHUTDOWN, Reason.TIMEOUT)
    cancel()
    for watched in (stopping, late):
        watched.look()
    assert (stopping.reason, late.reason) == (Reason.CANCELLED, Reason.TIMEOUT)


def test_who_was_cancelled_is_not_told_of_a_shutdown_or_a_timeout_later(job: Job) -> None:
    asked: list[bool] = []
    watched = watch(job, stopping=lambda: bool(asked))
    cancel()
    watched.look()
    asked.append(True)
    assert watched.reason == Reason.CANCELLED


def test_a_job_that_another_process_has_was_taken_away(job: Job, lease: ProcessLease) -> None:
    take_away(lease)
    watched = watch(job)
    watched.look()
    assert watched.reason == Reason.TAKEN_AWAY


def test_a_handler_that_waits_is_woken_by_what_the_thread_sees(job: Job) -> None:
    def cancel_elsewhere() -> None:
        cancel()
        connection.close()

    with watch(job) as watched:
        threading.Timer(0.05, cancel_elsewhere).start()
        assert watched.wait(SOON)
        assert watched.reason == Reason.CANCELLED


def test_while_the_database_is_away_the_thread_goes_on_looking(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "PORT", "1")  # for every new connection; this thread has one
        with watch(job) as watched:
            wait_until(lambda: "could not be looked at" in caplog.text, seconds=SOON, what="a failed look")
            assert watched.reason is None
            away.undo()
            cancel()
            wait_until(lambda: watched.reason, seconds=SOON, what="the cancellation seen")


def test_a_watch_leaves_no_thread_and_no_connection(job: Job) -> None:
    def sessions() -> int:
        return len(rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"))

    before, threads = sessions(), threading.active_count()
    for _ in range(3):
        with watch(job):
            wait_until(lambda: sessions() == before + 1, seconds=SOON, what="a look")
        wait_until(lambda: sessions() == before, seconds=SOON, what="its connection closed", state=sessions)
    wait_until(lambda: threading.active_count() <= threads, seconds=SOON, what="its thread ended")


# --- Ended ------------------------------------------------------------------------------------------------------


def test_a_handler_out_of_time_that_does_not_listen_is_ended_with_its_process(job: Job) -> None:
    def run() -> None:
        watched = running.watch_over(job, stopping=never, clock=timezone.now)
        watched._deadline = time.monotonic()
        ignore(watched)

    assert exit_status(run) == EXIT_STATUS
    job.refresh_from_db()
    assert (job.status, job.attempt, job.claim_token) == ("PENDING", 1, None)
    assert job.run_at > timezone.now()  # by the backoff
    assert job.history.get().outcome == "timed_out"
    assert not WorkerProcess.objects.exists()


def test_a_cancelled_handler_that_does_not_listen_is_ended_with_its_process(job: Job) -> None:
    cancel()
    assert exit_status(lambda: ignore(watch(job))) == EXIT_STATUS
    job.refresh_from_db()
    assert (job.status, job.history.get().outcome) == ("CANCELLED", "cancelled")


def test_at_a_shutdown_it_is_ended_when_the_worker_s_patience_is(job: Job) -> None:
    assert exit_status(lambda: ignore(watch(job, stopping=lambda: True, patience=lambda: 0.1))) == EXIT_STATUS
    job.refresh_from_db()
    assert (job.status, job.attempt) == ("PENDING", 0)
    assert job.run_at <= timezone.now()
    assert job.history.get().outcome == "handed_back"


def test_a_worker_that_ends_waits_no_longer_for_a_handler_told_of_something_else(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "GRACE", LONG)
    asked: list[bool] = []

    def run() -> None:
        with watch(job, stopping=lambda: bool(asked), patience=lambda: 0.0) as watched:
            watched.wait(SOON)
            asked.append(True)
            threading.Event().wait(SOON)

    cancel()
    assert exit_status(run) == EXIT_STATUS
    job.refresh_from_db()
    assert job.status == "CANCELLED"


def test_whose_job_was_taken_away_is_ended_and_changes_nothing(job: Job, lease: ProcessLease) -> None:
    other = take_away(lease)
    assert exit_status(lambda: ignore(watch(job))) == EXIT_STATUS
    assert other.claimed()


def test_a_handler_that_ends_while_its_process_is_ended_has_come_too_late(job: Job) -> None:
    settling, settled = threading.Event(), threading.Event()

    def time_out(late: Job) -> bool:
        settling.set()
        assert not settled.wait(0.3)  # it would be, if the handler could leave
        return late.fail(error="too late")

    def run() -> None:
        with watch(job, timeout=-1, settle_timeout=time_out):
            settling.wait(SOON)
        job.complete({"in": "time"})
        settled.set()

    assert exit_status(run) == EXIT_STATUS
    job.refresh_from_db()
    assert (job.status, job.error) == ("FAILED", "too late")


def test_a_handler_that_has_just_ended_is_not_ended_any_more(job: Job) -> None:
    deciding, left = threading.Event(), threading.Event()

    def patience() -> float:
        deciding.set()
        left.wait(SOON)
        return -1.0

    def run() -> None:
        with watch(job, stopping=lambda: True, patience=patience) as watched:
            deciding.wait(SOON)
        left.set()
        watched._thread.join()
        assert job.complete({"in": "time"})

    assert exit_status(run) == 0
    job.refresh_from_db()
    assert job.status == "COMPLETED"


@pytest.mark.parametrize(("constant", "value"), [("LOCK_TIMEOUT", "100ms"), ("SETTLES_WITHIN", 0.3)])
def test_a_handler_that_holds_its_row_is_ended_all_the_same(
    job: Job, monkeypatch: pytest.MonkeyPatch, constant: str, value: Any
) -> None:
    """By whichever is shorter: its watch waits neither for the lock nor for the database for ever."""
    monkeypatch.setattr(watching, "LOCK_TIMEOUT", "60s")
    monkeypatch.setattr(watching, "SETTLES_WITHIN", LONG)
    monkeypatch.setattr(watching, constant, value)

    def run() -> None:
        with watch(job, timeout=-1, settle_timeout=Job.finish_cancelled), transaction.atomic():
            Job.objects.select_for_update().get(pk=job.pk)
            threading.Event().wait(SOON)

    assert exit_status(run) == EXIT_STATUS
    job.refresh_from_db()
    assert job.status == "PROCESSING"
    assert WorkerProcess.objects.exists() == (constant == "SETTLES_WITHIN")  # without it, it is an orphan at once


def test_the_handler_s_statement_ends_with_its_process(job: Job) -> None:
    def run() -> None:
        with watch(job, timeout=-1), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(%s)", [SOON])

    assert exit_status(run) == EXIT_STATUS
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    wait_until(lambda: not rows(sleeping), seconds=SOON / 2, what="no statement left", state=lambda: rows(sleeping))
