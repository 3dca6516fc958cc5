"""What a handler declares of its payload, held against what is enqueued."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from audit.canonical import UncanonicalValue
from jobs.context import JobContext
from jobs.enqueueing import enqueue
from jobs.models import Job
from jobs.payloads import BadPayload
from jobs.registry import handler
from jobs.testing import run_enqueued, run_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_handlers")]


class Part(BaseModel):
    name: str


class Report(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str
    day: date
    size: Annotated[int, Field(ge=1, le=9)] = 1
    kind: Literal["pdf", "csv"] = "pdf"
    parts: list[Part] = []


@dataclass
class Move:
    account: uuid.UUID
    at: datetime
    share: float = 0.5
    tags: list[str] = field(default_factory=list)


@pytest.fixture(autouse=True)
def seen(own_handlers: None) -> list[Any]:
    """The payloads that handlers were given."""
    seen: list[Any] = []

    @handler("report")
    def report(context: JobContext, payload: Report) -> None:
        seen.append(payload)

    @handler("move")
    def move(_context: JobContext, wanted: Move) -> None:
        seen.append(wanted)

    @handler("free")
    def free(context: JobContext) -> None:
        seen.append(context.payload)

    @handler("mapping")
    def mapping(context: JobContext, payload: dict[str, int]) -> None:
        seen.append(payload)

    return seen


GOOD = {"to": "ada", "day": "2026-01-31"}
ACCOUNT = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        ({"day": "2026-01-31"}, ["payload.to: is required"]),
        ({}, ["payload.to: is required", "payload.day: is required"]),
        (GOOD | {"to": 7}, ["payload.to: must be a text"]),
        (GOOD | {"size": 0}, ["payload.size: must be at least 1"]),
        (GOOD | {"size": 10}, ["payload.size: must be at most 9"]),
        (GOOD | {"kind": "doc"}, ["payload.kind: must be 'pdf' or 'csv'"]),
        (GOOD | {"cc": "bob"}, ["payload.cc: is no field of this request; check its spelling"]),
        (GOOD | {"parts": [{"name": "a"}, {}]}, ["payload.parts[1].name: is required"]),
        (GOOD | {"parts": "a"}, ["payload.parts: must be a list"]),
    ],
)
def test_a_bad_payload_is_refused_with_each_field_and_its_rule(payload: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(BadPayload, match="The payload of a job of the type 'report' is refused: ") as refused:
        enqueue("report", payload)
    assert [f"{field}: {rule}" for field, rule in refused.value.problems] == problems
    assert all(problem in str(refused.value) for problem in problems)
    assert not Job.objects.exists()


def test_a_dataclass_refuses_as_a_model_does() -> None:
    with pytest.raises(BadPayload, match=r"payload\.account: is required.*payload\.at: is required"):
        enqueue("move", {})
    with pytest.raises(BadPayload, match=r"payload\.account: .*UUID.*payload\.tags\[0\]: must be a text"):
        enqueue("move", {"account": "x", "at": "2026-01-31T12:00:00Z", "tags": [1]})
    with pytest.raises(BadPayload, match=r"payload\.x: must be a whole number|payload\.x: .*valid integer"):
        enqueue("mapping", {"x": "y"})


def test_the_value_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(BadPayload) as refused:
        enqueue("report", {"to": {"secret": "hunter2"}, "day": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_a_mapping_reaches_the_handler_as_its_type(seen: list[Any]) -> None:
    run_job("report", GOOD | {"size": 3, "parts": [{"name": "a"}]})
    run_job("move", {"account": str(ACCOUNT), "at": "2026-01-31T12:00:00Z"})
    assert seen == [
        Report(to="ada", day=date(2026, 1, 31), size=3, parts=[Part(name="a")]),
        Move(ACCOUNT, datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        Report(to="ada", day=date(2026, 1, 31), parts=[Part(name="a")]),
        Move(ACCOUNT, datetime(2026, 1, 31, 12, tzinfo=UTC), tags=["x"]),
    ],
)
def test_an_instance_is_kept_as_json_and_comes_back_as_it_was(payload: Any, seen: list[Any]) -> None:
    job, _ = enqueue(type(payload).__name__.lower(), payload)
    assert {type(value) for value in job.payload.values()} <= {str, int, float, list}
    run_enqueued(job)
    assert seen == [payload]


def test_an_instance_of_another_type_is_refused_by_its_fields() -> None:
    with pytest.raises(BadPayload, match=r"payload\.to: is required"):
        enqueue("report", Part(name="a"))


def test_a_payload_by_alias_is_kept_and_read_by_it(seen: list[Any]) -> None:
    class Aliased(BaseModel):
        sent_at: Annotated[int, Field(alias="sentAt")]

    handler("aliased")(lambda_of(Aliased, seen))
    job, _ = enqueue("aliased", Aliased.model_validate({"sentAt": 3}))
    assert job.payload == {"sentAt": 3}
    run_enqueued(job)
    assert seen == [Aliased.model_validate({"sentAt": 3})]


def lambda_of(annotation: type, seen: list[Any]) -> Any:
    def handle(context: JobContext, payload: Any) -> None:
        seen.append(payload)

    handle.__annotations__["payload"] = annotation
    return handle


def test_a_handler_without_a_type_takes_any_json_object(seen: list[Any]) -> None:
    assert run_job("free", {"any": [1, None, {"thing": True}]}).status == Job.Status.COMPLETED
    assert seen == [{"any": [1, None, {"thing": True}]}]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (date(2026, 1, 31), "is a date, not a JSON value"),
        ((1, 2), "is a tuple"),
        (float("nan"), "only finite numbers"),
        (2**60, "beyond"),
        ("\0", r"U\+0000"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_its_path(value: object, rule: str) -> None:
    with pytest.raises(UncanonicalValue, match=rf"payload\.a\[0\]: .*{rule}"):
        enqueue("free", {"a": [value]})


def test_a_payload_that_suits_no_more_when_it_runs_fails_at_once_and_names_the_field() -> None:
    """As after a deployment that made a field required."""
    job, _ = enqueue("report", GOOD)
    Job.objects.update(payload={"to": "ada"})
    job = run_enqueued(job, attempts=9)
    assert (job.status, job.attempt) == (Job.Status.FAILED, 1)
    assert "payload.day: is required" in job.error
