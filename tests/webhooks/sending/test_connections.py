"""Connections kept, lost, shared and cut, over both transports."""

import threading

import pytest

from tests.webhooks.sending.peers import OK, Connection, answering
from tests.webhooks.sending.senders import PATIENCE, Opener, Send, Serve, collect, make, sender
from webhooks.sending.outcome import Kind
from webhooks.sending.transport import Transport, TransportFull


def test_a_connection_is_kept_for_the_next_request(send: Send, serve: Serve) -> None:
    peer = serve(answering(OK))
    outcomes = [send(peer.url()) for _ in range(3)]
    assert [outcome.kind for outcome in outcomes] == [Kind.DELIVERED] * 3
    assert peer.accepted == 1
    assert outcomes[1].timing.connect is None


def test_a_connection_closed_while_idle_costs_no_attempt(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []
    closed = threading.Event()

    def behave(connection: Connection) -> None:
        seen.append(connection.request())
        connection.send(OK)
        connection.close()
        closed.set()

    peer = serve(behave)
    for number in range(3):
        assert send(peer.url(), body=b"%d" % number).kind is Kind.DELIVERED
        assert closed.wait(PATIENCE)
        closed.clear()
    assert [request[-1:] for request in seen] == [b"0", b"1", b"2"]


def test_a_connection_that_dies_without_an_answer_is_replaced_once(send: Send, serve: Serve) -> None:
    """The receiver reads the second request on the kept connection and closes without a byte, as if it had timed out.

    No transport can tell this from an idle close that crossed the request, so it is sent again: at least once.
    """
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        seen.append(connection.request()[-1:])
        connection.send(OK)
        if len(seen) == 1:
            seen.append(connection.request()[-1:])

    peer = serve(behave)
    first, second = send(peer.url(), body=b"1"), send(peer.url(), body=b"2")
    assert (first.kind, second.kind) == (Kind.DELIVERED, Kind.DELIVERED)
    assert (first.repeated, second.repeated) == (False, True)
    assert (seen, peer.accepted) == ([b"1", b"2", b"2"], 2)


def test_a_request_is_sent_twice_at_most(transport: Transport, serve: Serve) -> None:
    """Three connections are kept, and all of them, and every new one, die on the next request."""
    seen: list[bytes] = []
    together = threading.Barrier(3)

    def behave(connection: Connection) -> None:
        request = connection.request()
        if request.endswith(b"first"):
            together.wait(PATIENCE)
            connection.send(OK)
            request = connection.request()
        if request:
            seen.append(request[-5:])

    peer = serve(behave)
    for _ in range(3):
        transport.submit(make(peer.url(), body=b"first"))
    assert {outcome.kind for outcome in collect(transport, 3).values()} == {Kind.DELIVERED}
    outcome = sender(transport)(peer.url(), body=b"again")
    assert (outcome.kind, outcome.repeated) == (Kind.DISCONNECTED, True)
    assert seen == [b"again"] * 2


def test_nothing_is_sent_again_once_an_answer_began(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        seen.append(connection.request()[-1:])
        connection.send(OK)
        seen.append(connection.request()[-1:])
        connection.send(b"HTTP/1.1 200 OK\r\n")

    peer = serve(behave)
    assert send(peer.url(), body=b"1").kind is Kind.DELIVERED
    outcome = send(peer.url(), body=b"2")
    assert (outcome.kind, outcome.repeated) == (Kind.DISCONNECTED, False)
    assert (seen, peer.accepted) == ([b"1", b"2"], 1)


def test_bytes_after_an_answer_never_become_the_next_one(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        while request := connection.request():
            seen.append(request[-1:])
            connection.send(OK + b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n")

    peer = serve(behave)
    assert [send(peer.url(), body=b"%d" % number).status for number in range(4)] == [200] * 4
    assert seen == [b"0", b"1", b"2", b"3"]


def test_a_connection_cut_at_the_cap_is_not_used_again(send: Send, serve: Serve) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000)
        connection.wait_for_close()

    peer = serve(behave)
    assert [send(peer.url()).status for _ in range(3)] == [200] * 3
    assert peer.accepted == 3


def test_many_requests_are_in_flight_at_once(transport: Transport, serve: Serve) -> None:
    """The receiver answers nobody until everybody is there."""
    together = threading.Barrier(50)

    def behave(connection: Connection) -> None:
        connection.request()
        together.wait(PATIENCE)
        connection.send(OK)

    peer = serve(behave)
    requests = [make(peer.url(f"/{number}")) for number in range(50)]
    for request in requests:
        transport.submit(request)
    assert transport.in_flight == 50
    outcomes = collect(transport, 50)
    assert {outcome.kind for outcome in outcomes.values()} == {Kind.DELIVERED}
    assert set(outcomes) == {request.id for request in requests}
    assert transport.in_flight == 0


def test_one_slow_receiver_holds_up_nobody_else(transport: Transport, serve: Serve) -> None:
    slow, fast = serve(Connection.wait_for_close), serve(answering(OK))
    held = make(slow.url(), timeout=1.0)
    transport.submit(held)
    send = sender(transport)
    assert [send(fast.url()).kind for _ in range(5)] == [Kind.DELIVERED] * 5
    assert collect(transport, 1)[held.id].kind is Kind.TIMEOUT


def test_no_more_is_taken_than_there_is_room_for(opener: Opener, serve: Serve) -> None:
    transport = opener(capacity=2)
    peer = serve(Connection.wait_for_close)
    for _ in range(2):
        transport.submit(make(peer.url()))
    with pytest.raises(TransportFull):
        transport.submit(make(peer.url()))
    assert (transport.capacity, transport.in_flight) == (2, 2)


def test_a_poll_without_requests_ends(transport: Transport) -> None:
    assert transport.poll(0.0) == []
    assert transport.poll(0.05) == []


def test_a_wait_is_ended_from_another_thread(transport: Transport, serve: Serve) -> None:
    transport.submit(make(serve(Connection.wait_for_close).url(), timeout=PATIENCE))
    waker = threading.Timer(0.1, transport.wake)
    waker.start()
    assert transport.poll(600) == []  # else the outcome at the deadline
    waker.join()
    assert transport.in_flight == 1


def test_a_wake_up_before_the_wait_ends_it_and_no_later_one(transport: Transport, serve: Serve) -> None:
    transport.submit(make(serve(Connection.wait_for_close).url(), timeout=PATIENCE))
    transport.wake()
    transport.wake()
    assert transport.poll(600) == []
    request = make(serve(answering(OK)).url())
    transport.submit(request)
    assert [landed for landed, _ in transport.poll(600)] == [request.id]


def test_a_closed_transport_may_be_woken(transport: Transport) -> None:
    transport.close()
    transport.wake()
    assert transport.poll(600) == []


@pytest.mark.parametrize("tls", [False, True], ids=["answering", "in-handshake"])
def test_closing_cuts_what_is_in_flight(transport: Transport, serve: Serve, tls: bool) -> None:  # noqa: FBT001
    arrived, cut = threading.Semaphore(0), threading.Semaphore(0)

    def behave(connection: Connection) -> None:
        connection.head() if not tls else arrived.release()
        arrived.release() if not tls else None
        connection.wait_for_close()
        cut.release()

    peer = serve(behave)
    for _ in range(5):
        transport.submit(make(peer.url().replace("http:", "https:" if tls else "http:"), timeout=600))
    transport.poll(0.0)
    for _ in range(5):
        while not arrived.acquire(timeout=0.02):
            transport.poll(0.0)
    transport.close()
    for _ in range(5):
        assert cut.acquire(timeout=PATIENCE)
    assert (transport.poll(0.0), transport.in_flight) == ([], 0)
    with pytest.raises(TransportFull):
        transport.submit(make(peer.url()))
    transport.close()
