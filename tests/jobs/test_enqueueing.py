"""Enqueueing: keys under concurrency, many at once, and what is refused."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pydantic import BaseModel

from jobs import claiming, events
from jobs.context import JobContext
from jobs.enqueueing import KEY_ONCE, Then, enqueue, enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job, JobAttempt
from jobs.payloads import BadPayload
from jobs.registry import handler
from tests.conftest import NOON, Tenant, open_tenant
from tests.jobs.steps import claim
from tests.threads import at_once, begin, begin_until_it_waits

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
        thread = begin_until_it_waits(lambda: made.append(enqueue("test", {}, key="k")))
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
        thread = begin_until_it_waits(lambda: made.append(enqueue("test", {}, key="k")))
        transaction.set_rollback(True)
    thread.join()
    assert made == [(job, False)]


@pytest.mark.usefixtures("committed")
def test_keys_that_come_and_go_at_once_never_have_two_active_jobs() -> None:
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
        thread = begin_until_it_waits(lambda: made.extend(enqueue_many("test", [{}, {}], keys=["b", "a"])))
        add(key="b")  # would be a deadlock had the other one begun with it
    thread.join()
    assert made == []
    assert Job.objects.count() == 2


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
