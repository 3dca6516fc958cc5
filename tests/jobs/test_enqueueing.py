"""Enqueueing: keys under concurrency, many at once, what follows, and what is refused."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pydantic import BaseModel

from audit.canonical import UncanonicalValue
from jobs import claiming, events, registry
from jobs.context import JobContext
from jobs.enqueueing import KEY_ONCE, Then, enqueue, enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job, JobAttempt
from jobs.payloads import BadPayload
from jobs.registry import UnknownJobType, handler
from jobs.testing import run_enqueued
from tests.conftest import NOON, Tenant, open_tenant
from tests.jobs.steps import claim, run
from tests.jobs.threads import at_once, begin, wait_until_blocked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_handlers")]
Status = Job.Status


@pytest.fixture(autouse=True)
def declare(own_handlers: None) -> None:
    @handler("test")
    def handle(context: JobContext) -> Any:
        return {"of": context.payload}


def add(**options: Any) -> Job:
    return enqueue("test", {}, now=NOON, **options)[0]


# --- Keys -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_of_twenty_that_enqueue_a_key_at_once_one_makes_the_job() -> None:
    company = open_tenant("Acme").company
    made: list[tuple[Job, bool]] = []
    at_once(20, lambda: made.append(enqueue("test", {}, company=company, key="k")))
    assert len(made) == 20
    assert sum(new for _, new in made) == 1
    assert {job for job, _ in made} == {Job.objects.get()}


@pytest.mark.usefixtures("committed")
def test_whoever_enqueues_while_the_job_of_the_key_ends_makes_the_next(lease: ProcessLease) -> None:
    add(key="k")
    job, made = claim(lease, now=NOON), []
    with transaction.atomic():
        job.complete(None)
        thread = begin(lambda: made.append(enqueue("test", {}, key="k")))
        wait_until_blocked()
    thread.join()
    ((following, new),) = made
    assert new
    assert following != job
    assert Job.objects.active().get() == following


@pytest.mark.usefixtures("committed")
def test_whoever_enqueues_while_the_end_of_the_job_is_undone_gets_it_back(lease: ProcessLease) -> None:
    add(key="k")
    job, made = claim(lease, now=NOON), []
    with transaction.atomic():
        job.complete(None)
        thread = begin(lambda: made.append(enqueue("test", {}, key="k")))
        wait_until_blocked()
        transaction.set_rollback(True)
    thread.join()
    assert made == [(job, False)]


@pytest.mark.usefixtures("committed")
def test_keys_that_come_and_go_at_once_never_have_two_active_jobs(lease: ProcessLease) -> None:
    """Ten enqueue one key again and again while another ends whatever there is."""
    processes = [ProcessLease(queues=["jobs"]) for _ in range(2)]
    made: list[tuple[Job, bool]] = []

    def enqueue_some() -> None:
        for _ in range(10):
            made.append(enqueue("test", {}, key="k"))  # noqa: PERF401  each is news to the others

    def end_some() -> None:
        process = processes.pop()
        for _ in range(40):
            if job := claiming.Claimer("jobs").claim(process=process.process_id, now=NOON.replace(year=2100)).job:
                job.complete(None)

    ending = [begin(end_some) for _ in range(2)]
    at_once(10, enqueue_some)
    for thread in ending:
        thread.join()
    assert len(made) == 100
    assert Job.objects.count() == sum(new for _, new in made)
    assert Job.objects.active().count() <= 1


def test_the_constraint_that_enqueueing_looks_for_is_the_table_s() -> None:
    assert KEY_ONCE in [constraint.name for constraint in Job._meta.constraints]


def test_another_fault_than_a_taken_key_is_not_taken_for_one() -> None:
    with pytest.raises(IntegrityError, match="max_attempts"):
        add(key="k", max_attempts=-1)


# --- Many -------------------------------------------------------------------------------------------------------


def test_many_are_enqueued_by_one_insert_in_their_order(tenant: Tenant) -> None:
    with CaptureQueriesContext(connection) as captured:
        jobs = enqueue_many("test", [{"n": n} for n in range(1_000)], company=tenant.company, priority=3, now=NOON)
    assert [job.payload["n"] for job in jobs] == list(range(1_000))
    assert {(job.company, job.priority, job.run_at) for job in jobs} == {(tenant.company, 3, NOON)}
    assert set(Job.objects.all()) == set(jobs)
    statements = [query["sql"].split()[0] for query in captured]
    assert (statements.count("INSERT"), statements.count("SELECT")) == (1, 1)
    assert len(captured) == 4  # and the savepoint


def test_of_many_those_whose_key_is_taken_are_left_out() -> None:
    taken = add(key="b")
    jobs = enqueue_many("test", [{"n": n} for n in range(5)], keys=["c", "b", None, "a", "c"], now=NOON)
    assert [(job.key, job.payload["n"]) for job in jobs] == [("c", 0), (None, 2), ("a", 3)]
    assert Job.objects.get(key="b") == taken


def test_no_payloads_make_no_jobs() -> None:
    assert enqueue_many("test", []) == enqueue_many("test", [], keys=[]) == []


@pytest.mark.parametrize("keys", [[], ["a"], ["a", "b", "c"]])
def test_there_is_a_key_for_each_of_many(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="argument 2 is"):
        enqueue_many("test", [{}, {}], keys=keys)
    assert not Job.objects.exists()


def test_one_bad_payload_of_many_refuses_them_all() -> None:
    with pytest.raises(BadPayload, match=r"payload\.seconds: is required"):
        enqueue_many("sleep", [{"seconds": 1}, {}])
    assert not Job.objects.exists()


@pytest.mark.usefixtures("committed")
def test_callers_with_the_same_keys_in_another_order_do_not_wait_for_each_other() -> None:
    made: list[Job] = []
    with transaction.atomic():
        add(key="a")
        thread = begin(lambda: made.extend(enqueue_many("test", [{}, {}], keys=["b", "a"])))
        wait_until_blocked()
        add(key="b")  # would be a deadlock had the other one begun with it
    thread.join()
    assert made == []
    assert Job.objects.count() == 2


# --- What follows -----------------------------------------------------------------------------------------------


def test_a_chain_of_three_passes_each_result_on(tenant: Tenant) -> None:
    chain = Then("test", {"step": 2}, then=Then("test", {"step": 3}))
    enqueue("test", {"step": 1}, company=tenant.company, priority=7, then=chain)
    jobs = [run_enqueued(Job.objects.active().get()) for _ in range(3)]
    assert [job.payload["step"] for job in jobs] == [1, 2, 3]
    assert [job.payload.get("result") for job in jobs] == [None, jobs[0].result, jobs[1].result]
    assert jobs[2].result == {"of": {"step": 3, "result": {"of": {"step": 2, "result": {"of": {"step": 1}}}}}}
    assert {(job.company, job.priority, job.status) for job in jobs} == {(tenant.company, 7, Status.COMPLETED)}
    assert Job.objects.count() == 3


def test_a_follow_up_with_a_refused_payload_is_a_dead_letter_that_names_the_field() -> None:
    first = run_enqueued(enqueue("test", {}, then=Then("sleep", {"seconds": "long"}))[0])
    following = run_enqueued(Job.objects.exclude(pk=first.pk).get(), attempts=9)
    assert (following.status, following.attempt) == (Status.FAILED, 1)
    assert "payload.seconds: " in following.error
    assert "payload.result: " in following.error  # which `sleep` forbids
    first.refresh_from_db()
    assert first.status == Status.COMPLETED


def test_a_follow_up_s_payload_may_be_of_its_type() -> None:
    @dataclass
    class Next:
        name: str
        result: dict[str, Any] | None = None

    seen: list[Next] = []

    @handler("next")
    def handle(context: JobContext, payload: Next) -> None:
        seen.append(payload)

    first, _ = enqueue("test", {}, then=Then("next", Next("x")))
    run_enqueued(first)
    run_enqueued(Job.objects.get(type="next"))
    assert seen == [Next("x", {"of": {}})]


@pytest.mark.parametrize(
    ("then", "error", "says"),
    [
        (Then("no.such"), UnknownJobType, "no.such"),
        (Then("test", then=Then("no.such")), UnknownJobType, "no.such"),
        (Then("test", {"at": NOON}), UncanonicalValue, r"then\.payload\.at: is a datetime"),
        (Then("test", ["a"]), BadPayload, "payload: must be a JSON object"),
    ],
)
def test_a_bad_follow_up_is_refused_at_once(then: Then, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        add(then=then)
    assert not Job.objects.exists()


def test_nothing_follows_a_failure_or_a_cancellation(lease: ProcessLease) -> None:
    add(then=Then("test"))
    claim(lease, now=NOON).fail(error="no")
    add(then=Then("test"))
    Job.objects.cancel(now=NOON)
    assert Job.objects.count() == 2


def test_a_stale_worker_s_success_is_followed_by_nothing_and_the_fresh_one_s_once(lease: ProcessLease) -> None:
    add(then=Then("test", {"follows": True}))
    stale = claim(lease, now=NOON)
    lease.give_up(lease.process_id)
    claiming.rescue("jobs", now=NOON)
    fresh = claim(lease, now=NOON)
    assert not run(stale)
    assert Job.objects.count() == 1
    assert run(fresh)
    assert not run(stale)
    assert not run(fresh)
    assert Job.objects.filter(payload__follows=True).count() == 1


def test_a_follow_up_whose_type_this_release_does_not_know_waits_for_one_that_does() -> None:
    handler("new", queue="exports", max_attempts=8)(lambda context: None)
    first, _ = enqueue("test", {}, then=Then("new"))
    del registry._handlers["new"]
    assert run_enqueued(first).status == Status.COMPLETED
    following = Job.objects.get(type="new")
    assert (following.status, following.queue, following.max_attempts) == (Status.PENDING, "exports", 8)


@pytest.mark.usefixtures("committed")
def test_a_job_and_its_follow_up_are_told_of_once_they_are_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(events, "_listeners", [lambda name, job: told.append((name, job.payload.get("name", "")))])
    with transaction.atomic():
        first, _ = enqueue("test", {"name": "first"}, then=Then("test", {"name": "second"}))
        assert told == []
    run_enqueued(first)
    assert told == [("created", "first"), ("started", "first"), ("completed", "first"), ("created", "second")]


# --- The caller's transaction -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed")
def test_a_rollback_of_the_caller_leaves_nothing_and_frees_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(events, "_listeners", [lambda name, job: told.append(name)])
    with transaction.atomic():
        add(key="k", then=Then("test"))
        enqueue_many("test", [{}, {}])
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert told == []
    assert enqueue("test", {}, key="k")[1]


def test_a_taken_key_leaves_the_caller_s_transaction_usable() -> None:
    with transaction.atomic():
        job = add(key="k")
        assert enqueue("test", {}, key="k") == (job, False)
        assert not JobAttempt.objects.exists()


class Model(BaseModel):
    at: int


@pytest.mark.parametrize("payload", [None, "text", ["a"], 7, Model, int])
def test_a_payload_is_a_json_object(payload: object) -> None:
    with pytest.raises(BadPayload, match="payload: must be a JSON object"):
        enqueue("test", payload)
