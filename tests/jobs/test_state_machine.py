"""The life of jobs, in whatever order things happen: two workers, real rows, and what must hold after each step."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from audit.models import Company
from jobs import claiming, registry, rescuing
from jobs.claiming import Claimer
from jobs.enqueueing import enqueue
from jobs.models import Job, JobAttempt, Pause, Throttle, WorkerProcess
from jobs.models.job import NOBODY
from jobs.registry import handler, handler_of

Status = Job.Status
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
MINUTE = timedelta(minutes=1)
TYPES: dict[str, dict[str, Any]] = {
    "wide": {"concurrency": 3, "max_attempts": 3},
    "narrow": {"concurrency": 1, "max_attempts": 2},
    "fair": {"concurrency": 3, "company_concurrency": 1, "max_attempts": 2},
    "paced": {"rate": "1/m", "max_attempts": 3},
    "paced each": {"company_rate": "1/m", "max_attempts": 3},
}

types, which = st.sampled_from(list(TYPES)), st.integers(0, 99)
keys, delays = st.sampled_from([None, None, "k"]), st.sampled_from([0, 0, 0, 30, 300])


class Life(RuleBasedStateMachine):
    """Time passes by bringing nearer what is waited for: nothing here lasts as long as the shortest of its pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        with connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            self.now: datetime = cursor.fetchone()[0]
        self.passed = timedelta(0)
        self.companies: list[Company | None] = [None, *(Company.objects.open(name=name) for name in "AB")]
        self.workers = [self.worker(), self.worker()]
        self.held: list[Job] = []
        self.known: set[uuid.UUID] = set()
        self.outcomes: dict[uuid.UUID, dict[uuid.UUID, str]] = defaultdict(dict)
        self.lost: Counter[uuid.UUID] = Counter()
        self.won: Counter[uuid.UUID] = Counter()
        self.started: dict[tuple[str, uuid.UUID | None], timedelta] = {}

    def teardown(self) -> None:
        try:
            self.bring_all_to_an_end()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    @staticmethod
    def worker() -> tuple[WorkerProcess, Claimer]:
        return WorkerProcess.objects.register(queues=[]), Claimer("jobs")

    # --- What may happen --------------------------------------------------------------------------------------------

    @rule(asked=st.lists(st.tuples(types, st.integers(0, 2), keys, st.integers(-1, 1), delays), min_size=3, max_size=6))
    def enqueue_some(self, asked: list[tuple[str, int, str | None, int, int]]) -> None:
        for each in asked:
            self.enqueue(*each)

    def enqueue(self, job_type: str, company: int, key: str | None, priority: int, later: int) -> None:
        owner, run_at = self.companies[company], self.now + timedelta(seconds=later)
        active = Job.objects.active().filter(company=owner, type=job_type, key=key).exclude(key=None).first()
        job, new = enqueue(job_type, {}, company=owner, key=key, priority=priority, run_at=run_at, now=self.now)
        assert new == (active is None)
        assert active is None or active == job
        self.known.add(job.pk)

    @rule(claims=st.lists(st.tuples(st.integers(0, 1), st.sampled_from([False, False, False, True])), max_size=6))
    def claim_some(self, claims: list[tuple[int, bool]]) -> None:
        for worker, newcomers_only in claims:
            self.claim(worker, newcomers_only=newcomers_only)
            self.no_limit_is_exceeded()

    def claim(self, worker: int, *, newcomers_only: bool) -> None:
        process, claimer = self.workers[worker]
        expected = self.next_in_turn(after=claimer._after, newcomers_only=newcomers_only)
        job = claimer.claim(process=process.pk, now=self.now, newcomers_only=newcomers_only).job
        assert job == expected
        if job is None or expected is None:
            return
        assert (job.status, job.attempt) == (Status.PROCESSING, expected.attempt + 1)
        assert job.claim_token is not None
        self.outcomes[job.pk][job.claim_token] = "running"
        self.held.append(job)
        for owner in {None, job.company_id}:
            self.started[job.type, owner] = self.passed

    @precondition(lambda self: self.held)
    @rule(which=which)
    def complete(self, which: int) -> None:
        self.settle(which, lambda job: job.complete({}), "completed", Status.COMPLETED, cancellable=False)

    @precondition(lambda self: self.held)
    @rule(which=which)
    def fail(self, which: int) -> None:
        self.settle(which, lambda job: job.fail(error="no"), "failed", Status.FAILED)

    @precondition(lambda self: self.held)
    @rule(which=which)
    def fail_and_come_back(self, which: int) -> None:
        job = self.held[which % len(self.held)]
        if job.attempt < job.max_attempts:
            self.settle(which, lambda job: job.retry_later(error="no", pause=MINUTE), "failed", Status.PENDING)

    @precondition(lambda self: self.held)
    @rule(which=which)
    def snooze(self, which: int) -> None:
        self.settle(which, lambda job: job.snooze(MINUTE), "snoozed", Status.PENDING, counted=False)

    @precondition(lambda self: self.held)
    @rule(which=which)
    def hand_back(self, which: int) -> None:
        self.settle(which, lambda job: job.hand_back(), "handed_back", Status.PENDING, counted=False)

    def settle(
        self, which: int, do: Callable[[Job], bool], outcome: str, status: str, *, counted: bool = True,
        cancellable: bool = True,
    ) -> None:  # fmt: skip
        """By whoever claimed it, be he dead or alive: he wins exactly where the claim is still his."""
        mine = self.held.pop(which % len(self.held))
        token, before = mine.claim_token, Job.objects.get(pk=mine.pk)
        assert token is not None
        attempts, won = list(JobAttempt.objects.order_by("pk").values()), do(mine)
        after = Job.objects.get(pk=mine.pk)
        assert won == (self.outcomes[mine.pk].get(token) == "running")
        if not won:
            assert after.__dict__.keys() == before.__dict__.keys()
            assert Job.objects.filter(pk=mine.pk).values().get() == row(before)
            assert list(JobAttempt.objects.order_by("pk").values()) == attempts
            return
        self.won[token] += 1
        cancelled = cancellable and before.cancel_requested_at is not None
        assert after.status == (Status.CANCELLED if cancelled else status)
        assert after.attempt == before.attempt - (not counted)
        history = self.outcomes[mine.pk]
        if outcome == "snoozed":
            for old in [old for old, ended in history.items() if ended == "snoozed"]:
                del history[old]
        history[token] = outcome

    @precondition(lambda self: self.known)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        job = self.some(which)
        changed = job.status not in ENDED and job.cancel_requested_at is None  # one that is told already stays so
        assert Job.objects.filter(pk=job.pk).cancel(now=self.now) == changed
        after = Job.objects.get(pk=job.pk)
        if job.status == Status.PENDING:
            assert after.status == Status.CANCELLED
        elif job.status == Status.PROCESSING:
            assert after.cancel_requested_at is not None

    @precondition(lambda self: self.known)
    @rule(which=which, fresh=st.booleans())
    def retry(self, which: int, *, fresh: bool) -> None:
        job = self.some(which)
        same = Job.objects.active().filter(company=job.company_id, type=job.type, key=job.key).exclude(key=None)
        possible = job.status in (Status.FAILED, Status.CANCELLED) and not same.exists()
        assert Job.objects.filter(pk=job.pk).retry(now=self.now, fresh=fresh) == possible
        if possible:
            after = Job.objects.get(pk=job.pk)
            assert (after.status, after.attempt) == (Status.PENDING, 0 if fresh else job.attempt)
            assert after.attempt < after.max_attempts

    @rule(paused=st.sampled_from([("type", "wide"), ("type", "paced"), ("queue", "jobs")]), worker=st.integers(0, 1))
    def claim_while_something_is_paused(self, paused: tuple[str, str], worker: int) -> None:
        kind, name = paused
        pause = Pause.objects.create(kind=kind, name=name)
        self.claim(worker, newcomers_only=False)
        pause.delete()

    @rule(worker=st.integers(0, 1), rescued=st.booleans())
    def crash(self, worker: int, *, rescued: bool) -> None:
        """Its lease is over; whatever it had claimed may yet be settled by it, in vain."""
        self.workers[worker][0].delete()
        self.workers[worker] = self.worker()
        if rescued:
            self.rescue()
            self.claim_some([(0, False), (1, False)] * 4)

    @precondition(lambda self: self.held)
    @rule(which=which, cancelled=st.booleans())
    def overtake(self, which: int, *, cancelled: bool) -> None:
        """Both die; what they had is taken back and claimed anew; then one of the dead has its say."""
        alive = [place for place, job in enumerate(self.held) if self.holds(job)] or [0]
        stale = alive[which % len(alive)]
        if cancelled:
            Job.objects.filter(pk=self.held[stale].pk, status=Status.PROCESSING).cancel(now=self.now)
        self.crash(0, rescued=False)
        self.crash(1, rescued=True)
        self.complete(stale)

    @rule()
    def rescue(self) -> None:
        alive = set(WorkerProcess.objects.values_list("pk", flat=True))
        orphans = list(Job.objects.filter(status=Status.PROCESSING).exclude(claimed_by__in=alive))
        assert rescuing.rescue("jobs", now=self.now) == len(orphans)
        for before in orphans:
            assert before.claim_token is not None
            after = Job.objects.get(pk=before.pk)
            again = Status.PENDING if before.attempt < before.max_attempts else Status.FAILED
            assert after.status == (Status.CANCELLED if before.cancel_requested_at else again)
            self.outcomes[before.pk][before.claim_token] = "lost"
            self.lost[before.pk] += 1

    @rule(seconds=st.sampled_from([30, 60, 300]))
    def let_time_pass(self, seconds: int) -> None:
        by = timedelta(seconds=seconds)
        self.passed += by
        Job.objects.filter(status=Status.PENDING).update(run_at=F("run_at") - by)
        Throttle.objects.update(open_at=F("open_at") - by)

    # --- What must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        running = list(Job.objects.filter(status=Status.PROCESSING).values_list("type", "company"))
        for job_type, count in Counter(job_type for job_type, _ in running).items():
            assert count <= handler_of(job_type).concurrency
        for (job_type, company), count in Counter(running).items():
            limit = handler_of(job_type).company_concurrency
            assert limit is None or company is None or count <= limit

    @invariant()
    def no_job_is_lost_and_none_has_more_attempts_than_it_may(self) -> None:
        jobs = list(Job.objects.all())
        assert {job.pk for job in jobs} == self.known
        for job in jobs:
            assert job.attempt <= job.max_attempts
            assert job.lost == self.lost[job.pk]
            assert (job.completed_at is not None) == (job.status in ENDED)

    @invariant()
    def each_attempt_is_on_record_once_and_says_how_it_ended(self) -> None:
        recorded: dict[uuid.UUID, dict[uuid.UUID, str]] = defaultdict(dict)
        for attempt in JobAttempt.objects.all():
            recorded[attempt.job_id][attempt.pk] = attempt.outcome
        assert recorded == {job: history for job, history in self.outcomes.items() if history}
        for job in Job.objects.all():
            outcomes = list(recorded[job.pk].values())
            running = {token for token, outcome in recorded[job.pk].items() if outcome == "running"}
            assert running == ({job.claim_token} if job.status == Status.PROCESSING else set())
            assert outcomes.count("completed") == (job.status == Status.COMPLETED)

    @invariant()
    def no_claim_is_settled_twice(self) -> None:
        assert set(self.won.values()) <= {1}

    # --- What is expected -------------------------------------------------------------------------------------------

    def next_in_turn(self, *, after: uuid.UUID, newcomers_only: bool) -> Job | None:
        """Of the jobs that may run: the next company's most urgent one, then the longest due."""
        running = list(Job.objects.filter(status=Status.PROCESSING).values_list("type", "company"))
        busy = {company for _, company in running if newcomers_only} - {None}
        paused = set(Pause.objects.values_list("name", flat=True))
        may = [
            job
            for job in Job.objects.filter(status=Status.PENDING, run_at__lte=self.now)
            if job.company_id not in busy and not {"jobs", job.type} & paused and self.may_run(job, beside=running)
        ]

        def place(job: Job) -> tuple[Any, ...]:
            company = job.company_id or NOBODY
            return company <= after, company, -job.priority, job.run_at, job.pk

        return min(may, key=place, default=None)

    def may_run(self, job: Job, *, beside: Sequence[tuple[str, uuid.UUID | None]]) -> bool:
        """As far as the limits of its type go, beside those that run."""
        declared = handler_of(job.type)
        if [job_type for job_type, _ in beside].count(job.type) >= declared.concurrency:
            return False
        if declared.interval and self.passed - self.started.get((job.type, None), -MINUTE) < MINUTE:
            return False
        if job.company_id is None:
            return True
        if declared.company_interval and self.passed - self.started.get((job.type, job.company_id), -MINUTE) < MINUTE:
            return False
        mine = beside.count((job.type, job.company_id))
        return declared.company_concurrency is None or mine < declared.company_concurrency

    def holds(self, job: Job) -> bool:
        assert job.claim_token is not None
        return self.outcomes[job.pk].get(job.claim_token) == "running"

    def some(self, which: int) -> Job:
        return Job.objects.get(pk=sorted(self.known)[which % len(self.known)])

    # --- How it ends ------------------------------------------------------------------------------------------------

    def bring_all_to_an_end(self) -> None:
        """Whatever happened: once one worker lives, each job comes to its end."""
        for worker in (0, 1):
            self.crash(worker, rescued=False)
        self.rescue()
        for _ in self.known:
            self.let_time_pass(300)
            self.claim(0, newcomers_only=False)
            if self.held and self.held[-1].claimed_by == self.workers[0][0].pk:
                self.complete(len(self.held) - 1)
        assert not Job.objects.exclude(status__in=ENDED).exists()


def row(job: Job) -> dict[str, Any]:
    return {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields}


@pytest.mark.parametrize(("few", "window"), [(50, 10), (1, 1)], ids=["what is due", "company by company"])
def test_whatever_happens_no_job_is_lost_none_finished_twice_and_no_limit_exceeded(
    db: None, monkeypatch: pytest.MonkeyPatch, few: int, window: int
) -> None:
    """Claimed by either of the two ways in which the statement looks for jobs."""
    monkeypatch.setattr(registry, "_handlers", {})
    monkeypatch.setattr(claiming, "FEW", few)
    monkeypatch.setattr(claiming, "WINDOW", window)
    for job_type, options in TYPES.items():
        handler(job_type, **options)(lambda context: None)
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
