"""What follows a job on its success: once, with its result, and never instead of it."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction

from audit.canonical import UncanonicalValue
from jobs import events, registry, rescuing
from jobs.context import JobContext
from jobs.enqueueing import Then, enqueue
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.payloads import BadPayload
from jobs.registry import UnknownJobType, handler
from jobs.testing import run_enqueued
from tests.conftest import NOON, Tenant
from tests.jobs.steps import claim, run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_handlers")]
Status = Job.Status


@pytest.fixture(autouse=True)
def declare(own_handlers: None) -> None:
    @handler("test")
    def handle(context: JobContext) -> Any:
        return {"of": context.payload}


def add(**options: Any) -> Job:
    return enqueue("test", {}, now=NOON, **options)[0]


def test_a_chain_of_three_passes_each_result_on(tenant: Tenant) -> None:
    chain = Then("test", {"step": 2}, then=Then("test", {"step": 3}))
    enqueue("test", {"step": 1}, company=tenant.company, priority=7, then=chain)
    jobs = [run_enqueued(Job.objects.active().get()) for _ in range(3)]
    assert [job.payload["step"] for job in jobs] == [1, 2, 3]
    assert [job.payload.get("result") for job in jobs] == [None, jobs[0].result, jobs[1].result]
    assert jobs[2].result == {"of": {"step": 3, "result": {"of": {"step": 2, "result": {"of": {"step": 1}}}}}}
    assert {(job.company, job.priority, job.status) for job in jobs} == {(tenant.company, 7, Status.COMPLETED)}
    assert Job.objects.count() == 3


def test_a_follow_up_whose_payload_is_refused_refuses_the_first_one_too() -> None:
    for payload in ({"seconds": "long"}, {"seconds": 1, "nonsense": 1}, {}):
        with pytest.raises(BadPayload, match=r"payload\.(seconds|nonsense): "):
            enqueue("test", {}, then=Then("sleep", payload))
    assert not Job.objects.exists()


def test_a_type_without_a_field_for_the_result_follows_without_it() -> None:
    run_enqueued(enqueue("test", {}, then=Then("sleep", {"seconds": 0}))[0])
    following = run_enqueued(Job.objects.get(type="sleep"))
    assert (following.status, following.payload) == (Status.COMPLETED, {"seconds": 0})


def test_a_follow_up_that_cannot_take_the_result_is_a_dead_letter_that_names_the_field() -> None:
    @dataclass
    class Number:
        result: int

    @handler("number")
    def handle(context: JobContext, payload: Number) -> None: ...

    first = run_enqueued(enqueue("test", {}, then=Then("number"))[0])
    following = run_enqueued(Job.objects.exclude(pk=first.pk).get(), attempts=9)
    assert (following.status, following.attempt) == (Status.FAILED, 1)
    assert "payload.result: " in following.error
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
    rescuing.rescue("jobs", now=NOON)
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
