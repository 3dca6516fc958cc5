"""Limits over all workers: many claimers at once, each with a connection and a process of its own."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.models import Company
from jobs import registry
from jobs.claiming import Claimer
from jobs.enqueueing import enqueue, enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job, JobAttempt, Pause, WorkerProcess
from jobs.registry import handler
from tests.conftest import NOON

CLAIMERS = 8
Running = Counter[tuple[str, Any]]


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_handlers", {})


def declare(job_type: str, **options: Any) -> None:
    handler(job_type, **options)(lambda context: None)


def add(job_type: str, count: int, *, company: Company | None = None, **options: Any) -> list[Job]:
    return enqueue_many(job_type, [{}] * count, company=company, now=NOON, **options)


@contextmanager
def elsewhere(work: Callable[[], None]) -> Iterator[None]:
    """While `work` is done in a thread, on another connection; it ends with the block."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def work_together(claimers: int = CLAIMERS) -> tuple[list[Running], int]:
    """Until nothing waits: what ran at the same time, seen after each claim, and how many claims there were."""
    seen: list[Running] = []
    together = threading.Barrier(claimers)

    def work() -> None:
        claimer, process = Claimer("jobs"), WorkerProcess.objects.register(queues=[]).pk
        together.wait()
        while Job.objects.filter(status=Job.Status.PENDING).exists():
            job = claimer.claim(process=process, now=timezone.now()).job
            if job is not None:
                running = Job.objects.filter(status=Job.Status.PROCESSING)
                seen.append(Counter(running.values_list("type", "company")))
                assert job.complete({})

    with ExitStack() as others:
        for _ in range(claimers):
            others.enter_context(elsewhere(work))
    assert set(Job.objects.values_list("status", "attempt")) == {("COMPLETED", 1)}
    return seen, len(seen)


def starts(**of: Any) -> list[Any]:
    return list(Job.objects.filter(**of).order_by("started_at").values_list("started_at", flat=True))


def test_many_claimers_at_once_pass_no_limit_and_leave_nothing_behind(committed: None) -> None:
    declare("three", concurrency=3)
    declare("one each", company_concurrency=1)
    declare("free")
    companies = [Company.objects.open(name=name) for name in "ABC"]
    for company in (*companies, None):
        for job_type in ("three", "one each", "free"):
            add(job_type, 10, company=company)
    seen, claims = work_together()
    assert claims == Job.objects.count() == 120
    at_once: Running = Counter()
    for running in seen:
        by_type: Counter[str] = Counter()
        for (job_type, company_id), count in running.items():
            by_type[job_type] += count
            if company_id:
                at_once[job_type, "company"] = max(at_once[job_type, "company"], count)
        at_once |= Counter({(job_type, None): count for job_type, count in by_type.items()})
    assert 1 < at_once["three", None] <= 3
    assert at_once["one each", "company"] == 1
    assert at_once["one each", None] > 1
    assert JobAttempt.objects.filter(outcome="completed").count() == claims


def test_many_claimers_at_once_keep_to_the_rate_of_a_type_and_of_each_company(committed: None) -> None:
    declare("paced", rate="50/s")
    declare("paced each", company_rate="20/s")
    companies = [Company.objects.open(name=name) for name in "AB"]
    for company in companies:
        add("paced", 5, company=company)
        add("paced each", 8, company=company)
    add("paced each", 8)
    work_together()
    paced = starts(type="paced")
    assert all(after - before >= timedelta(milliseconds=20) for before, after in pairwise(paced))
    for company in companies:
        each = starts(type="paced each", company=company)
        assert all(after - before >= timedelta(milliseconds=50) for before, after in pairwise(each))
    both = starts(type="paced each", company__isnull=False)
    assert any(after - before < timedelta(milliseconds=50) for before, after in pairwise(both))


@pytest.fixture
def next_job(lease: ProcessLease) -> Callable[..., Job | None]:
    """The next claimed one, by a claimer that keeps turns."""
    claimer = Claimer("jobs")
    return lambda **options: claimer.claim(process=lease.process_id, now=NOON, **options).job


Next = Callable[..., Job | None]


def test_a_type_that_does_not_say_runs_as_often_as_the_setting_says(next_job: Next, settings: Any) -> None:
    settings.JOB_CONCURRENCY = 2
    declare("any")
    add("any", 3)
    assert [next_job() is not None for _ in range(3)] == [True, True, False]


def test_a_type_at_its_limit_blocks_no_other(next_job: Next) -> None:
    declare("limited", concurrency=1)
    declare("other")
    add("limited", 300, priority=9)
    add("other", 2)
    assert [job and job.type for job in (next_job(), next_job(), next_job(), next_job())] == [
        *("limited", "other", "other", None)
    ]


def test_one_company_s_flood_leaves_another_waiting_for_one_turn(next_job: Next) -> None:
    declare("any", concurrency=100)
    flooding, other = Company.objects.open(name="flooding"), Company.objects.open(name="other")
    waiting = {"type": "any", "queue": "jobs", "company": flooding, "run_at": NOON, "max_attempts": 1, "priority": 9}
    Job.objects.bulk_create(Job(**waiting) for _ in range(2_000))
    assert next_job() is not None
    add("any", 1, company=other)
    assert other.pk in {job.company_id for job in (next_job(), next_job()) if job}


def test_companies_at_their_limit_are_passed_however_many_they_are(next_job: Next) -> None:
    declare("one each", company_concurrency=1, concurrency=1000)
    companies = sorted((Company.objects.open(name=str(n)) for n in range(25)), key=lambda company: company.pk)
    for company in companies:
        add("one each", 3, company=company)
    claimed = [next_job() for _ in companies]
    assert [job and job.company_id for job in claimed] == [company.pk for company in companies]
    assert next_job() is None
    (last,) = add("one each", 1, company=Company.objects.open(name="late"))
    assert next_job() == last


def test_newcomers_only_leaves_out_whoever_runs_anything(next_job: Next) -> None:
    declare("any")
    declare("other")
    busy, new = Company.objects.open(name="busy"), Company.objects.open(name="new")
    add("any", 1, company=busy)
    assert next_job() is not None
    add("other", 5, company=busy)
    assert next_job(newcomers_only=True) is None
    (job,) = add("any", 1, company=new)
    assert next_job(newcomers_only=True) == job


@pytest.mark.parametrize(("kind", "name"), [("type", "any"), ("queue", "jobs")])
def test_what_is_paused_is_not_claimed(next_job: Next, kind: str, name: str) -> None:
    declare("any")
    (job,) = add("any", 1)
    pause = Pause.objects.create(kind=kind, name=name)
    assert next_job() is None
    pause.delete()
    assert next_job() == job


def test_a_pause_of_one_type_stops_no_other(next_job: Next) -> None:
    declare("any")
    declare("other")
    Pause.objects.create(kind="type", name="any")
    add("any", 200, priority=9)
    (job,) = add("other", 1)
    assert next_job() == job


def test_a_type_that_is_claimed_for_the_first_time_costs_no_other_its_claim(next_job: Next) -> None:
    declare("old")
    add("old", 2)
    first = next_job()
    declare("new")
    second = next_job()
    assert first
    assert second
    assert (
        Job.objects.filter(
            status=Job.Status.PROCESSING, claim_token__in=[first.claim_token, second.claim_token]
        ).count()
        == 2
    )


def test_an_empty_look_tells_when_a_rate_lets_the_next_one_start(lease: ProcessLease) -> None:
    declare("paced", rate="1/m")
    add("paced", 2)
    claimer = Claimer("jobs")
    before = timezone.now()
    assert claimer.claim(process=lease.process_id, now=NOON).job
    opens_at = claimer.claim(process=lease.process_id, now=NOON).opens_at
    assert opens_at
    assert before + timedelta(minutes=1) <= opens_at <= timezone.now() + timedelta(minutes=1)


def test_an_empty_look_tells_when_the_next_scheduled_job_is_due_also_while_others_are_held_up(
    lease: ProcessLease,
) -> None:
    declare("any", concurrency=1)
    declare("other")
    add("any", 2)
    claimer = Claimer("jobs")
    assert claimer.claim(process=lease.process_id, now=NOON).job
    add("other", 1, run_at=NOON + timedelta(seconds=3))
    assert claimer.claim(process=lease.process_id, now=NOON).opens_at == NOON + timedelta(seconds=3)


# --- Rows that somebody else has locked ------------------------------------------------------------------------------


@contextmanager
def locked(jobs: list[Job]) -> Iterator[None]:
    """While somebody else's transaction, which goes on, has these rows locked."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            list(Job.objects.filter(pk__in=[job.pk for job in jobs]).select_for_update())
            begun.set()
            over.wait(30)

    with elsewhere(hold):
        try:
            assert begun.wait(30)
            yield
        finally:
            over.set()


def test_a_locked_row_holds_up_nothing_but_itself(committed: None) -> None:
    declare("any")
    company = Company.objects.open(name="A")
    first, second = add("any", 2, company=company)
    (urgent,) = add("any", 1, company=company, priority=5)
    (third,) = add("any", 1)
    claimer, process = Claimer("jobs"), WorkerProcess.objects.register(queues=[]).pk

    def claim() -> Job | None:
        return claimer.claim(process=process, now=NOON).job

    with locked([first]):
        assert claim() == urgent
        assert claim() == third
        assert claim() == second
        assert claim() is None
    assert claim() == first


def test_a_company_whose_due_rows_are_all_locked_holds_up_no_other(committed: None) -> None:
    declare("any")
    company = Company.objects.open(name="A")
    (mine,) = add("any", 1, company=company)
    (other,) = add("any", 1)
    claimer, process = Claimer("jobs"), WorkerProcess.objects.register(queues=[]).pk
    with locked([mine]):
        assert claimer.claim(process=process, now=NOON).job == other
    assert claimer.claim(process=process, now=NOON).job == mine


def test_a_claim_in_a_row_s_way_waits_for_nobody_s_enqueueing(committed: None) -> None:
    declare("any")
    begun, over = threading.Event(), threading.Event()

    def enqueue_slowly() -> None:
        with transaction.atomic():
            enqueue("any", {}, company=company, key="k", now=NOON)
            begun.set()
            over.wait(30)

    company = Company.objects.open(name="A")
    (job,) = add("any", 1, company=company)
    with elsewhere(enqueue_slowly):
        try:
            assert begun.wait(30)
            assert Claimer("jobs").claim(process=WorkerProcess.objects.register(queues=[]).pk, now=NOON).job == job
        finally:
            over.set()
