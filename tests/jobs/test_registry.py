"""Declarations of handlers: what they hold, what they refuse, and which of them a process takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from jobs import registry
from jobs.claiming import Claimer
from jobs.context import JobContext
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.registry import BadHandler, UnknownJobType, UnservedQueue, handler, handler_of, handlers_in, take_only, takes
from tests.conftest import NOON

pytestmark = pytest.mark.usefixtures("own_handlers")


@dataclass
class Payload:
    name: str = ""


@pytest.fixture(autouse=True)
def takes_all(own_handlers: None) -> Iterator[None]:
    yield
    take_only([])


def test_the_decorated_function_stays_what_it_was() -> None:
    def handle(context: JobContext) -> str:
        return "called"

    assert handler("test")(handle) is handle


def test_what_a_declaration_says_is_what_holds() -> None:
    @handler("test", queue="exports", max_attempts=7, timeout=60, concurrency=5, rate="10/s", company_rate="1/m")
    def handle(context: JobContext) -> None: ...

    declared = handler_of("test")
    assert (declared.queue, declared.max_attempts, declared.timeout, declared.concurrency) == ("exports", 7, 60, 5)
    assert (declared.interval, declared.company_interval) == (0.1, 60)
    assert declared in handlers_in("exports")
    assert declared not in handlers_in("jobs")


def test_what_it_does_not_say_comes_from_the_settings(settings: Any) -> None:
    handler("test")(lambda context: None)
    settings.JOB_TIMEOUT, settings.JOB_CONCURRENCY = 77, 8
    declared = handler_of("test")
    assert (declared.timeout, declared.concurrency) == (77, 8)
    assert not declared.public
    assert [declared.backoff(failed).total_seconds() for failed in (1, 2, 99)] == [2, 4, 300]


def test_only_types_that_harm_nobody_are_public() -> None:
    """A tenant reaches no e-mail, export or erasure by the jobs API."""
    public = {each.type for each in registry.handlers() if each.public}
    assert public <= {"http.request", "data.process", "sleep"}
    assert "sleep" in public


@pytest.mark.parametrize(
    "run",
    [
        lambda: None,
        lambda context, payload: None,
        lambda context, payload, more: None,
    ],
)
def test_a_function_that_cannot_be_called_as_a_handler_is_refused(run: Any) -> None:
    with pytest.raises(BadHandler, match=r"no handler for 'test'.*a second parameter with the payload's type"):
        handler("test")(run)
    with pytest.raises(UnknownJobType):
        handler_of("test")


def test_a_queue_that_no_worker_serves_is_refused() -> None:
    with pytest.raises(UnservedQueue, match=r"'test' names the queue 'reports'; there are: jobs, exports"):
        handler("test", queue="reports")(lambda context: None)
    with pytest.raises(UnknownJobType):
        handler_of("test")


def test_the_second_parameter_may_have_any_name_and_a_written_annotation() -> None:
    @handler("test")
    def handle(_: JobContext, wanted: "Payload") -> None: ...

    declared = handler_of("test")
    assert declared.payload_type is not None
    assert declared.payload_type.read({"name": "x"}) == Payload("x")


def test_an_unknown_type_names_those_that_there_are() -> None:
    with pytest.raises(UnknownJobType, match=r"'sleeep'.*sleep"):
        handler_of("sleeep")


@pytest.mark.parametrize(
    ("patterns", "taken", "left"),
    [
        ([], ["email:welcome", "report:daily", "sleep"], []),
        (["email:*"], ["email:welcome", "email:"], ["report:daily", "email", "Email:welcome", "xemail:y"]),
        (["email:*", "report:*"], ["email:welcome", "report:daily"], ["sleep", "reports"]),
        (["sleep"], ["sleep"], ["sleep.long"]),
        (["*.send"], ["email.send", "sms.send"], ["email.send.now"]),
    ],
)
def test_a_process_takes_the_types_of_its_patterns(patterns: list[str], taken: list[str], left: list[str]) -> None:
    for job_type in (*taken, *left):
        handler(job_type)(lambda context: None)
    take_only(patterns)
    assert [each for each in [*taken, *left] if takes(each)] == taken


@pytest.mark.django_db
def test_a_process_claims_only_the_types_that_it_takes(lease: ProcessLease) -> None:
    for job_type in ("email:welcome", "report:daily"):
        handler(job_type)(lambda context: None)
        enqueue(job_type, {}, now=NOON)
    take_only(["report:*"])
    claimer = Claimer("jobs")
    claimed = claimer.claim(process=lease.process_id, now=NOON).job
    assert claimed
    assert claimed.type == "report:daily"
    assert claimer.claim(process=lease.process_id, now=NOON).job is None
    take_only([])
    assert claimer.claim(process=lease.process_id, now=NOON).job
