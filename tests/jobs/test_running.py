import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit.canonical import UncanonicalValue
from jobs import due, registry, rescuing
from jobs.backoff import exponential
from jobs.context import JobContext, Retryable, Snooze, Stopped, Unrecoverable
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.registry import UnknownJobType, handler
from jobs.running import SURPRISE
from tests.conftest import NOON, Clock, Tenant
from tests.jobs.steps import claim, run_next, watch

pytestmark = pytest.mark.django_db
Status = Job.Status
Run = Callable[..., bool]


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that a test declares end with it."""
    monkeypatch.setattr(registry, "_handlers", dict(registry._handlers))


@pytest.fixture
def run(lease: ProcessLease, clock: Clock) -> Run:
    def run_one(*, stopping: Callable[[], bool] = lambda: False, queue: str = "jobs") -> bool:
        return run_next(lease, queue=queue, stopping=stopping, clock=clock)

    return run_one


def declare(job_type: str = "test", **options: Any) -> list[JobContext]:
    """A handler that answers what its payload says; the contexts it was called with."""
    calls: list[JobContext] = []

    @handler(job_type, **options)
    def handle(context: JobContext) -> Any:
        calls.append(context)
        match context.payload.get("do"):
            case "fail":
                raise RuntimeError("no luck \x00")
            case "give up":
                raise Unrecoverable("never")
            case "stop":
                raise Stopped
        return {"attempt": context.attempt}

    return calls


def add(do: str = "", **options: Any) -> Job:
    return enqueue("test", {"do": do}, now=NOON, **options)[0]


def test_a_job_runs_and_keeps_its_result(run: Run, tenant: Tenant) -> None:
    (calls, job) = declare(), add(company=tenant.company)
    assert run()
    job.refresh_from_db()
    assert (job.status, job.result, job.progress, job.attempt) == (Status.COMPLETED, {"attempt": 1}, 1.0, 1)
    assert job.completed_at
    assert calls[0].company == tenant.company
    assert not run()


def test_a_failure_is_retried_by_the_backoff_and_then_a_dead_letter(run: Run, clock: Clock) -> None:
    declare(max_attempts=3, backoff=exponential(base=10, cap=15))
    job = add("fail")
    for attempt, pause in [(1, 10), (2, 15)]:
        assert run()
        job.refresh_from_db()
        assert (job.status, job.attempt) == (Status.PENDING, attempt)
        assert not run()
        clock.now = job.run_at
        assert abs((job.run_at - job.started_at).total_seconds() - pause) < 5  # type: ignore[operator]
    assert run()
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Status.FAILED, 3)
    assert job.error == f"{SURPRISE} (RuntimeError)"
    assert "RuntimeError: no luck \N{REPLACEMENT CHARACTER}" in job.traceback
    assert job.payload == {"do": "fail"}


@pytest.mark.parametrize("result", ["\x00", float("nan"), {1, 2}])
def test_a_result_that_cannot_be_stored_is_a_failure_of_the_handler(run: Run, result: object) -> None:
    handler("test", max_attempts=1)(lambda context: result)
    job = add()
    run()
    job.refresh_from_db()
    assert job.status == Status.FAILED
    assert "result: " in job.traceback


def test_unrecoverable_fails_at_once(run: Run) -> None:
    declare()
    job = add("give up")
    run()
    job.refresh_from_db()
    assert (job.status, job.attempt, job.error) == (Status.FAILED, 1, "never")


@pytest.mark.parametrize(("after", "pause"), [(0, 10), (4, 10), (60, 60)])
def test_an_expected_failure_is_retried_and_tells_its_own_words(run: Run, after: float, pause: float) -> None:
    @handler("test", max_attempts=2, backoff=exponential(base=10, cap=10))
    def handle(context: JobContext) -> None:
        raise Retryable("The mill is closed. \x00", after=after)

    job = add()
    run()
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Status.PENDING, 1)
    assert job.error == "The mill is closed. \N{REPLACEMENT CHARACTER}"
    assert "Retryable" in job.traceback
    assert pause <= (job.run_at - job.started_at).total_seconds() < 1.1 * pause + 5  # type: ignore[operator]


def test_an_expected_failure_of_the_last_attempt_is_a_dead_letter_in_its_own_words(run: Run) -> None:
    @handler("test", max_attempts=1)
    def handle(context: JobContext) -> None:
        raise Retryable("The mill is closed.", after=60)

    job = add()
    run()
    job.refresh_from_db()
    assert (job.status, job.error) == (Status.FAILED, "The mill is closed.")


def test_a_handler_that_stops_unasked_has_failed(run: Run) -> None:
    declare(max_attempts=1)
    job = add("stop")
    run()
    job.refresh_from_db()
    assert (job.status, job.error) == (Status.FAILED, "The handler stopped although nobody had asked it to.")


def test_a_shutdown_hands_the_job_back_uncounted(run: Run) -> None:
    declare()
    job = add("stop")
    run(stopping=lambda: True)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.claim_token) == (Status.PENDING, 0, None)


def test_a_handler_that_has_to_wait_gives_its_place_away_uncounted(run: Run, clock: Clock) -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        raise Snooze(300)

    job = add()
    assert run()
    job.refresh_from_db()
    assert (job.status, job.attempt, job.claim_token) == (Status.PENDING, 0, None)
    assert (job.run_at - job.started_at).total_seconds() >= 300  # type: ignore[operator]
    assert not run()


def test_a_job_cancelled_while_it_would_wait_ends_cancelled(run: Run) -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        Job.objects.cancel(now=NOON)
        raise Snooze(300)

    job = add()
    run()
    job.refresh_from_db()
    assert job.status == Status.CANCELLED


def test_what_a_handler_keeps_is_there_for_the_attempt_that_goes_on(run: Run) -> None:
    seen = []

    @handler("test")
    def handle(context: JobContext) -> Any:
        seen.append(context.job.result)
        context.keep({"done": 1}, fraction=0.5)
        if not seen[-1]:
            raise Stopped
        return {"done": 2}

    job = add()
    run()
    job.refresh_from_db()
    assert (job.status, job.result, job.progress) == (Status.PENDING, {"done": 1}, 0.5)
    Job.objects.update(run_at=NOON)
    run()
    job.refresh_from_db()
    assert (seen, job.result, job.progress) == ([None, {"done": 1}], {"done": 2}, 1.0)


def test_progress_raises_stopped_on_shutdown(run: Run) -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        context.progress(0.5)

    job = add()
    run(stopping=lambda: True)
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Status.PENDING, 0)


def test_a_job_cancelled_while_it_runs_ends_cancelled_also_where_it_fails(run: Run) -> None:
    @handler("test", max_attempts=5)
    def handle(context: JobContext) -> None:
        Job.objects.cancel(now=NOON)
        raise RuntimeError

    job = add()
    run()
    job.refresh_from_db()
    assert (job.status, job.cancel_requested_at) == (Status.CANCELLED, NOON)


def test_a_waiting_job_is_cancelled_at_once(run: Run) -> None:
    declare()
    job = add()
    assert Job.objects.cancel(now=NOON) == 1
    assert not run()
    job.refresh_from_db()
    assert (job.status, job.completed_at) == (Status.CANCELLED, NOON)


def test_a_dead_letter_can_be_retried(run: Run, clock: Clock) -> None:
    declare()
    job = add("give up")
    run()
    assert Job.objects.retry(now=clock.now) == 1
    job.refresh_from_db()
    assert (job.status, job.attempt, job.completed_at) == (Status.PENDING, 0, None)
    assert run()


def test_of_jobs_with_one_key_only_the_newest_is_retried_and_none_while_it_is_active(tenant: Tenant) -> None:
    declare()
    jobs = [add(company=tenant.company, key="k"), add(key="k"), add(), add()]
    for company, count in ((tenant.company, 2), (None, 1)):
        for _ in range(count):
            Job.objects.filter(company=company, key="k").update(status=Status.FAILED, completed_at=NOON)
            jobs.append(add(company=company, key="k"))
    Job.objects.filter(key=None).update(status=Status.CANCELLED, completed_at=NOON)
    assert Job.objects.retry(now=NOON) == 2  # those without a key: the others' keys are active
    Job.objects.update(status=Status.FAILED, completed_at=NOON)
    assert Job.objects.retry(now=NOON) == 4
    newest = [Job.objects.filter(company=company, key="k").latest("id") for company in (tenant.company, None)]
    assert {job.status for job in newest} == {Status.PENDING}


def test_higher_priority_first_then_the_longest_due(run: Run) -> None:
    calls = declare()
    late = add(run_at=NOON - timedelta(seconds=1))
    early = add(run_at=NOON - timedelta(seconds=2))
    urgent = add(priority=5)
    while run():
        pass
    assert [call.job.id for call in calls] == [urgent.id, early.id, late.id]


def test_what_is_scheduled_waits_for_its_time(run: Run, clock: Clock) -> None:
    declare()
    add(run_at=NOON + timedelta(hours=1))
    assert not run()
    clock.advance(hours=1)
    assert run()


def test_a_queue_runs_only_its_own(run: Run) -> None:
    declare(queue="exports")
    add()
    assert not run(queue="jobs")
    assert run(queue="exports")


def test_a_type_that_this_release_does_not_know_is_left_alone(run: Run) -> None:
    declare()
    job = add()
    Job.objects.update(type="from.the.future")
    assert due.next_due("jobs", now=NOON, until=NOON) == NOON, "another worker may know it"
    assert due.next_due("exports", now=NOON, until=NOON) is None
    assert not run()
    job.refresh_from_db()
    assert job.status == Status.PENDING


def test_a_key_gives_the_active_job_back_for_each_company(tenant: Tenant, other_tenant: Tenant, run: Run) -> None:
    declare()
    first, new = enqueue("test", {}, company=tenant.company, key="k", now=NOON)
    again, new_again = enqueue("test", {"other": 1}, company=tenant.company, key="k", now=NOON)
    foreign, new_foreign = enqueue("test", {}, company=other_tenant.company, key="k", now=NOON)
    nobody, _ = enqueue("test", {}, key="k", now=NOON)
    nobody_again, _ = enqueue("test", {}, key="k", now=NOON)
    assert (new, new_again, new_foreign) == (True, False, True)
    assert (again, nobody_again) == (first, nobody)
    assert foreign != first
    while run():
        pass
    assert enqueue("test", {}, company=tenant.company, key="k", now=NOON)[1]


def test_enqueueing_names_what_is_wrong() -> None:
    with pytest.raises(UnknownJobType, match=r"'no\.such'"):
        enqueue("no.such", {}, now=NOON)
    declare()
    with pytest.raises(UncanonicalValue, match=r"payload\.a"):
        enqueue("test", {"a": "\x00"}, now=NOON)


def test_enqueueing_goes_with_the_caller_s_transaction() -> None:
    declare()

    with transaction.atomic():
        add()
        transaction.set_rollback(True)
    assert not Job.objects.exists()


def context(job: Job) -> JobContext:
    return JobContext(job, watch=watch(job))


def test_a_dead_worker_s_job_is_due_again_and_the_lost_attempt_counts(lease: ProcessLease) -> None:
    declare(max_attempts=2)
    add()
    for attempt in (1, 2):
        assert rescuing.rescue("jobs", now=NOON) == 0
        assert claim(lease, now=NOON).attempt == attempt
        lease.give_up(lease.process_id)
        assert rescuing.rescue("jobs", now=NOON) == 1
    job = Job.objects.get()
    assert (job.status, job.claim_token) == (Status.FAILED, None)
    assert "lost" in job.error


def test_a_stale_worker_changes_nothing(lease: ProcessLease) -> None:
    declare()
    add()
    stale = claim(lease, now=NOON)
    lease.give_up(lease.process_id)
    rescuing.rescue("jobs", now=NOON)
    fresh = claim(lease, now=NOON)
    assert not stale.complete({"stale": True})
    assert not stale.fail(error="stale")
    assert not stale.advance(0.5, step="stale")
    assert not stale.hand_back()
    with pytest.raises(Stopped), transaction.atomic():
        context(stale).hold_claim()
    with pytest.raises(Stopped):
        context(stale).keep({"stale": True}, fraction=1)
    assert fresh.complete({"fresh": True})
    assert Job.objects.get().result == {"fresh": True}


def test_a_job_without_a_company_says_so() -> None:
    declare()
    with pytest.raises(LookupError, match="runs for no company"):
        _ = context(add()).company


def test_the_database_ties_the_claim_to_the_state() -> None:
    declare()
    add()
    with pytest.raises(IntegrityError, match="job_claimed"), transaction.atomic():
        Job.objects.update(claim_token=uuid.uuid4())
