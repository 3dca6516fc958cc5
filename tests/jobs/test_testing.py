"""The helper with which a test runs a handler: what it does is what a worker does."""

import os
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.test import TestCase
from django.utils import timezone

from jobs import stopping
from jobs.backoff import exponential
from jobs.context import JobContext, Snooze, Unrecoverable
from jobs.enqueueing import Then, enqueue
from jobs.models import Job, JobAttempt, Pause, WorkerProcess
from jobs.payloads import BadPayload
from jobs.registry import handler
from jobs.testing import NeverClaimed, run_enqueued, run_job
from tests.conftest import Tenant, open_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_handlers")]
Status = Job.Status


def outcomes(job: Job) -> list[str]:
    return list(job.history.order_by("started_at", "id").values_list("outcome", flat=True))


class InAPlainTestCase(TestCase):
    """As a Django project has them, without fixtures."""

    def test_a_handler_runs_in_one_line(self) -> None:
        job = run_job("sleep", {"seconds": 0})
        assert (job.status, job.result, job.attempt) == (Status.COMPLETED, {"slept": 0.0}, 1)
        assert outcomes(job) == ["completed"]
        assert not WorkerProcess.objects.exists()


def test_result_log_progress_and_company_are_as_in_production(tenant: Tenant) -> None:
    @handler("test")
    def handle(context: JobContext) -> dict[str, Any]:
        context.log("hello", level="warning")
        context.keep({"half": True}, fraction=0.5)
        return {"company": context.company.name, "progress": Job.objects.get(pk=context.job.pk).progress}

    job = run_job("test", {}, company=tenant.company)
    assert (job.status, job.result) == (Status.COMPLETED, {"company": "Acme", "progress": 0.5}), job.traceback
    assert list(job.log.values_list("level", "text")) == [("warning", "hello")]


def test_one_attempt_is_made_and_then_the_job_waits(tenant: Tenant) -> None:
    @handler("test", backoff=exponential(base=3600, cap=3600))
    def handle(context: JobContext) -> None:
        raise RuntimeError("no luck")

    job = run_job("test", {})
    assert (job.status, job.attempt, outcomes(job)) == (Status.PENDING, 1, ["failed"])
    assert job.run_at > timezone.now()
    assert "no luck" in job.traceback


def test_more_attempts_do_not_wait_for_the_pauses_between_them() -> None:
    @handler("test", max_attempts=5, backoff=exponential(base=86_400, cap=86_400))
    def handle(context: JobContext) -> int:
        if context.attempt < 3:
            raise RuntimeError
        return context.attempt

    assert run_job("test", {}, attempts=2).status == Status.PENDING
    job = run_job("test", {}, attempts=9)
    assert (job.status, job.result, outcomes(job)) == (Status.COMPLETED, 3, ["failed", "failed", "completed"])


def test_a_job_that_fails_for_good_comes_back_as_a_dead_letter() -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        raise Unrecoverable("never")

    job = run_job("test", {}, attempts=9)
    assert (job.status, job.attempt, job.error) == (Status.FAILED, 1, "never")


def test_a_snooze_is_over_at_once_and_counts_as_a_call_of_the_handler() -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        raise Snooze(3600)

    job = run_job("test", {}, attempts=3)
    assert (job.status, job.attempt, outcomes(job)) == (Status.PENDING, 0, ["snoozed"])


def test_a_shutdown_is_told_and_is_over_afterwards() -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        stopping.ask()
        context.check()

    job = run_job("test", {})
    assert (job.status, job.attempt, outcomes(job)) == (Status.PENDING, 0, ["handed_back"])
    assert not stopping.asked()


def test_a_cancellation_is_told_at_once() -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        assert not context.should_stop()
        Job.objects.cancel(now=timezone.now())
        context.check()
        raise AssertionError("went on")

    assert run_job("test", {}).status == Status.CANCELLED


def test_a_timeout_is_told_and_retried() -> None:
    @handler("test", timeout=0.01)
    def handle(context: JobContext) -> None:
        context.wait(60)

    job = run_job("test", {})
    assert (job.status, outcomes(job)) == (Status.PENDING, ["timed_out"])


def test_no_thread_looks_at_the_row_so_that_nothing_ends_the_test_s_process() -> None:
    seen: list[object] = []

    @handler("test")
    def handle(context: JobContext) -> None:
        seen.append([thread.name for thread in threading.enumerate() if thread.name == "watch"])
        asking = threading.Thread(target=lambda: seen.append(context.should_stop()))  # on another connection
        asking.start()
        asking.join()

    assert run_job("test", {}).status == Status.COMPLETED
    assert seen == [[], False]


def test_a_rate_lets_the_time_pass() -> None:
    handler("test", rate="1/d")(lambda context: None)
    assert [run_job("test", {}).status for _ in range(3)] == [Status.COMPLETED] * 3


def test_what_is_scheduled_runs_at_its_time() -> None:
    handler("test")(lambda context: None)
    job, _ = enqueue("test", {}, run_at=timezone.now() + timedelta(days=1))
    assert run_enqueued(job).status == Status.COMPLETED


def test_what_is_due_before_it_runs_before_it() -> None:
    ran: list[object] = []
    handler("test")(lambda context: ran.append(context.payload["n"]))
    enqueue("test", {"n": 1}, priority=1)
    run_job("test", {"n": 2})
    assert ran == [1, 2]


def test_what_no_worker_would_run_is_said() -> None:
    Pause.objects.create(kind="type", name="sleep")
    with pytest.raises(NeverClaimed, match=r"'sleep'.*paused"):
        run_job("sleep", {"seconds": 0})
    assert not WorkerProcess.objects.exists()


def test_a_refused_payload_is_raised() -> None:
    with pytest.raises(BadPayload, match="seconds"):
        run_job("sleep", {})


def test_a_job_that_has_ended_comes_back_as_it_is() -> None:
    handler("test")(lambda context: None)
    job = run_job("test", {})
    assert run_enqueued(job).history.count() == 1


@pytest.mark.usefixtures("committed")
def test_it_runs_outside_a_transaction_and_leaves_no_process() -> None:
    tenant = open_tenant("Acme")

    @handler("test")
    def handle(context: JobContext) -> int:
        return WorkerProcess.objects.alive().get().pid

    job = enqueue("test", {}, company=tenant.company, then=Then("test"))[0]
    assert run_enqueued(job).result == os.getpid()
    assert run_enqueued(Job.objects.exclude(pk=job.pk).get()).status == Status.COMPLETED
    assert JobAttempt.objects.count() == 2
    assert not WorkerProcess.objects.exists()
