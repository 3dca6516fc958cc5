"""What a running handler can tell: its log, its progress, and lines for operators."""

import pytest
import structlog
from django.utils import timezone

from audit.canonical import UncanonicalValue
from jobs.context import LOG_CHARACTERS, LOG_LINES, JobContext, Snooze, Unrecoverable
from jobs.models import Job
from jobs.registry import handler
from jobs.testing import run_enqueued, run_job
from tests.conftest import Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_handlers")]


def test_an_attempt_writes_a_thousand_lines_of_which_the_last_says_so(tenant: Tenant) -> None:
    @handler("test", max_attempts=2)
    def handle(context: JobContext) -> None:
        for number in range(LOG_LINES + 5):
            context.log(f"line {number}")
        if context.attempt == 1:
            raise RuntimeError

    job = run_job("test", {}, company=tenant.company, attempts=2)
    assert job.status == Job.Status.COMPLETED
    for attempt in (1, 2):
        lines = list(job.log.filter(attempt=attempt).values_list("text", flat=True))
        assert len(lines) == LOG_LINES == 1_000
        assert {f"line {number}" for number in range(LOG_LINES - 1)} < set(lines)
        assert any("has written 1000 lines" in line for line in lines)


def test_an_attempt_that_snoozes_again_and_again_writes_no_more_than_another() -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        for number in range(LOG_LINES // 2):
            context.log(f"line {number}")
        raise Snooze(1)

    job = run_job("test", {}, attempts=4)
    assert (job.attempt, job.log.count()) == (0, LOG_LINES)
    assert job.log.filter(text__contains="has written 1000 lines").count() == 1


@pytest.mark.usefixtures("committed")
def test_a_dead_letter_that_is_retried_by_hand_writes_anew() -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        for number in range(LOG_LINES):
            context.log(f"line {number}")
        raise Unrecoverable("no")

    job = run_job("test", {})
    assert Job.objects.retry(now=timezone.now()) == 1
    job = run_enqueued(job)
    assert (job.attempt, job.log.count()) == (1, 2 * LOG_LINES)


def test_what_cannot_be_stored_is_not_kept_and_says_where_it_is() -> None:
    seen: list[str] = []

    @handler("test")
    def handle(context: JobContext) -> None:
        for result in ({"n": [float("nan")]}, {"at": {1, 2}}):
            with pytest.raises(UncanonicalValue) as refused:
                context.keep(result, fraction=0.5)
            seen.append(refused.value.path)

    assert run_job("test", {}).status == Job.Status.COMPLETED
    assert seen == ["result.n[0]", "result.at"]


def test_a_line_is_cut_off_and_made_storable(tenant: Tenant) -> None:
    @handler("test")
    def handle(context: JobContext) -> None:
        context.log("x" * (LOG_CHARACTERS + 1))
        context.log("nul \0 and half a pair \ud800", level="error")

    job = run_job("test", {}, company=tenant.company)
    assert job.status == Job.Status.COMPLETED, job.traceback
    assert set(job.log.values_list("level", "text", "company", "attempt")) == {
        ("info", "x" * LOG_CHARACTERS, tenant.company.id, 1),
        ("error", "nul \N{REPLACEMENT CHARACTER} and half a pair ?", tenant.company.id, 1),
    }
    assert LOG_CHARACTERS == 2_000


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_line_has_a_level(level: str) -> None:
    handler("test")(lambda context: context.log("said", level=level))
    assert run_job("test", {}).log.get().level == level


def test_a_bad_level_is_a_fault_of_the_handler_even_where_no_line_would_be_kept() -> None:
    @handler("test", max_attempts=1)
    def handle(context: JobContext) -> None:
        for _ in range(LOG_LINES):
            context.log("said")
        context.log("said", level="fatal")

    job = run_job("test", {})
    assert (job.status, job.log.count()) == (Job.Status.FAILED, LOG_LINES)
    assert "'fatal' is not a valid Level" in job.traceback


def test_lines_for_operators_name_the_job_and_are_none_of_its_log() -> None:
    @handler("test", max_attempts=2)
    def handle(context: JobContext) -> None:
        context.logger.warning("source.slow", seconds=9)
        if context.attempt == 1:
            raise RuntimeError

    with structlog.testing.capture_logs() as lines:
        job = run_job("test", {}, attempts=2)
    said = {"event": "source.slow", "log_level": "warning", "seconds": 9, "job": str(job.id), "type": "test"}
    assert [line for line in lines if line["event"] == "source.slow"] == [said | {"attempt": 1}, said | {"attempt": 2}]
    assert not job.log.exists()
