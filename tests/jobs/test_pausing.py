"""Pausing and resuming: what is paused is not claimed, and whoever resumes rings for what has waited."""

import pytest

from jobs import doorbell, due, registry
from jobs.claiming import Claimer
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Pause
from jobs.models.pause import Kind, UnknownQueue
from jobs.registry import UnknownJobType
from tests.conftest import NOON


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lanes: list[str] = []
    monkeypatch.setattr(doorbell, "ring", lambda lane, **_: lanes.append(lane))
    return lanes


@pytest.mark.parametrize(("kind", "name"), [(Kind.QUEUE, "jobs"), (Kind.TYPE, "sleep")])
def test_what_is_paused_waits_and_goes_on_once_resumed(
    committed: None, lease: ProcessLease, rung: list[str], kind: Kind, name: str
) -> None:
    job, _ = enqueue("sleep", {"seconds": 0}, now=NOON)
    assert Pause.objects.pause(kind, name, reason="upgrade")
    assert Claimer("jobs").claim(process=lease.process_id, now=NOON).job is None
    assert due.next_due("jobs", now=NOON, until=NOON) is None
    rung.clear()
    assert Pause.objects.resume(kind, name)
    assert rung == ["jobs"]
    assert Claimer("jobs").claim(process=lease.process_id, now=NOON).job == job


def test_another_type_of_a_queue_goes_on(db: None, lease: ProcessLease) -> None:
    enqueue("sleep", {"seconds": 0}, now=NOON)
    mail = {"to": "a@example.com", "subject": "s", "text": "t"}
    other, _ = enqueue("email.send", mail, now=NOON)
    Pause.objects.pause(Kind.TYPE, "sleep")
    assert Claimer("jobs").claim(process=lease.process_id, now=NOON).job == other


def test_pausing_twice_keeps_one_pause_and_the_latest_reason(db: None) -> None:
    assert [Pause.objects.pause(Kind.QUEUE, "jobs", reason=reason) for reason in ("a", "b")] == [True, False]
    assert Pause.objects.get().reason == "b"
    assert [Pause.objects.resume(Kind.QUEUE, "jobs") for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("kind", "name", "error", "says"),
    [
        (Kind.QUEUE, "sleep", UnknownQueue, "'sleep'; there are: jobs, exports"),
        (Kind.TYPE, "jobs", UnknownJobType, "'jobs'; there are: .*sleep"),
    ],
)
def test_a_name_that_nothing_declares_is_refused_and_the_others_named(
    db: None, kind: Kind, name: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Pause.objects.pause(kind, name)
    with pytest.raises(error, match=says):
        Pause.objects.resume(kind, name)
    assert not Pause.objects.exists()


def test_what_no_handler_declares_any_more_can_be_resumed(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    Pause.objects.pause(Kind.TYPE, "sleep")
    monkeypatch.delitem(registry._handlers, "sleep")
    assert Pause.objects.resume(Kind.TYPE, "sleep")


def test_a_long_reason_is_cut_off(db: None) -> None:
    Pause.objects.pause(Kind.QUEUE, "jobs", reason="x" * 300)
    assert Pause.objects.get().reason == "x" * 200
