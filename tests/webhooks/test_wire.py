"""The wire: requests go out and outcomes come home, whatever its transport does meanwhile."""

import time
import uuid
from collections.abc import Iterable

import pytest

from tests.receiver import Receiver
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request
from webhooks.sending.transport import Transport
from webhooks.wire import Landed, Wire

SOON = 10.0


def request_to(url: str) -> Request:
    return Request(uuid.uuid4(), url, {"Content-Type": "application/json"}, b"{}", 5.0)


def all_of(wire: Wire, count: int) -> Landed:
    """The next so many outcomes, in whatever portions they come."""
    landed: Landed = []
    end = time.monotonic() + SOON
    while len(landed) < count and time.monotonic() < end:
        landed += wire.poll(1.0)
    return landed


class Broken:
    """A transport in which something happens that nobody expected."""

    capacity = 10
    in_flight = 0

    def __init__(self, error: BaseException, *, at: str) -> None:
        self.error, self.at = error, at

    def submit(self, _: Request) -> None:
        if self.at == "submit":
            raise self.error

    def poll(self, timeout: float) -> Landed:
        if self.at == "poll":
            raise self.error
        time.sleep(min(timeout, 0.001))
        return []

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def submitted(wire: Wire, requests: Iterable[Request]) -> set[uuid.UUID]:
    requests = list(requests)
    wire.submit(requests)
    return {request.id for request in requests}


def test_each_outcome_comes_home_once(transport: Transport, receiver: Receiver) -> None:
    with Wire(transport) as wire:
        assert wire.capacity == transport.capacity
        sent = submitted(wire, [request_to(receiver.url) for _ in range(15)])
        assert wire.in_flight == 15
        landed = all_of(wire, 15)
        assert {attempt for attempt, _ in landed} == sent
        assert len(landed) == 15
        assert {outcome.kind for _, outcome in landed} == {Kind.DELIVERED}
        assert wire.in_flight == 0
        assert wire.poll(0) == []


def test_requests_leave_while_others_still_wait_for_their_answer(transport: Transport, receiver: Receiver) -> None:
    receiver.gate.clear()
    with Wire(transport) as wire:
        sent = submitted(wire, [request_to(receiver.url)])
        assert receiver.wait_for(1)
        sent |= submitted(wire, [request_to(receiver.url)])
        assert receiver.wait_for(2)
        assert (wire.poll(0), wire.in_flight) == ([], 2)
        receiver.gate.set()
        assert {attempt for attempt, _ in all_of(wire, 2)} == sent


def test_what_cannot_be_sent_is_an_outcome_like_others(transport: Transport, receiver: Receiver) -> None:
    with Wire(transport) as wire:
        wire.submit([request_to("ftp://example.com/"), request_to(receiver.url)])
        assert {outcome.kind for _, outcome in all_of(wire, 2)} == {Kind.BLOCKED, Kind.DELIVERED}


def test_leaving_waits_for_no_answer_and_the_transport_keeps_what_is_in_flight(
    transport: Transport, receiver: Receiver
) -> None:
    receiver.gate.clear()
    with Wire(transport) as wire:
        wire.submit([request_to(receiver.url)])
        assert receiver.wait_for(1)
    assert transport.in_flight == 1
    receiver.gate.set()
    landed: list[tuple[uuid.UUID, Outcome]] = []
    while not landed:
        landed = transport.poll(SOON)
    assert landed[0][1].kind == Kind.DELIVERED


@pytest.mark.parametrize("at", ["submit", "poll"])
@pytest.mark.parametrize("error", [RuntimeError("surprise"), MemoryError("no more")], ids=str)
def test_a_surprise_in_the_transport_is_raised_where_it_can_be_handled(error: BaseException, at: str) -> None:
    def work() -> None:
        with Wire(Broken(error, at=at)) as wire:
            wire.submit([request_to("http://127.0.0.1:1/")])
            all_of(wire, 1)

    with pytest.raises(type(error), match=str(error)):
        work()


def test_the_thread_ends_with_the_wire(transport: Transport) -> None:
    with Wire(transport) as wire:
        assert wire._thread.is_alive()
    assert not wire._thread.is_alive()


def test_a_failure_of_the_one_who_uses_it_ends_the_thread_too(transport: Transport) -> None:
    wire = Wire(transport)
    with pytest.raises(ZeroDivisionError), wire:
        _ = 1 / 0
    assert not wire._thread.is_alive()
