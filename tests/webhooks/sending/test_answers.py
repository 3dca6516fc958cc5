"""What a receiver answers, and the outcome made of it, over both transports."""

import ssl
from datetime import UTC, datetime
from threading import Thread

import pytest

from tests.webhooks.sending.peers import OK, Connection, answering, closing, status
from tests.webhooks.sending.senders import HEADERS, Send, Serve
from webhooks.sending.outcome import Kind

NOW = datetime(2025, 10, 21, 7, 28, 0, tzinfo=UTC)


@pytest.mark.parametrize("line", ["200 OK", "201 Created", "202 Accepted", "299 Odd"])
def test_a_2xx_is_delivered(send: Send, serve: Serve, line: str) -> None:
    outcome = send(serve(answering(status(line, "X-Trace: a", "X-Trace: b", body=b"thanks"))).url())
    assert (outcome.kind, outcome.status, outcome.body) == (Kind.DELIVERED, int(line[:3]), b"thanks")
    assert outcome.headers["x-trace"] == "a, b"
    assert outcome.address == "127.0.0.1"
    assert outcome.error == ""
    assert outcome.timing.connect
    assert outcome.timing.first_byte
    assert outcome.timing.total
    assert outcome.timing.connect <= outcome.timing.first_byte <= outcome.timing.total
    assert outcome.timing.tls is None


def test_a_204_has_no_body(send: Send, serve: Serve) -> None:
    outcome = send(serve(answering(b"HTTP/1.1 204 No Content\r\n\r\n")).url())
    assert (outcome.kind, outcome.status, outcome.body) == (Kind.DELIVERED, 204, b"")


def test_a_body_after_a_204_is_neither_read_nor_taken_for_the_next_answer(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        while request := connection.request():
            seen.append(request[-1:])
            connection.send(status("204 No Content", body=b"HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"))

    peer = serve(behave)
    outcomes = [send(peer.url(), body=b"%d" % number) for number in range(4)]
    assert [(outcome.kind, outcome.status, outcome.body) for outcome in outcomes] == [(Kind.DELIVERED, 204, b"")] * 4
    assert seen == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("code", [400, 401, 404, 410, 422, 500, 502, 504])
def test_an_error_status_is_rejected_with_its_body(send: Send, serve: Serve, code: int) -> None:
    peer = serve(answering(status(f"{code} No", body=b"because")))
    outcome = send(peer.url("/hook?token=s3cret"))
    assert (outcome.kind, outcome.status, outcome.body) == (Kind.REJECTED, code, b"because")
    assert outcome.error.startswith(f"http://127.0.0.1:{peer.port} answered {code}. ")
    assert "s3cret" not in outcome.error


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_rejected_and_not_followed(send: Send, serve: Serve, code: int) -> None:
    inside = serve(answering(OK))
    peer = serve(answering(status(f"{code} Elsewhere", f"Location: {inside.url()}")))
    outcome = send(peer.url())
    assert (outcome.kind, outcome.status) == (Kind.REJECTED, code)
    assert "not followed" in outcome.error
    assert inside.accepted == 0


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize(("value", "seconds"), [("120", 120.0), ("Tue, 21 Oct 2025 07:30:00 GMT", 120.0)])
def test_retry_after_is_heard(send: Send, serve: Serve, code: int, value: str, seconds: float) -> None:
    outcome = send(serve(answering(status(f"{code} Later", f"Retry-After: {value}"))).url())
    assert outcome.kind is Kind.REJECTED
    assert outcome.retry_after(NOW) == seconds


def test_an_answer_without_length_ends_with_the_connection(send: Send, serve: Serve) -> None:
    outcome = send(serve(closing(b"HTTP/1.0 200 OK\r\n\r\nold but valid")).url())
    assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"old but valid")


def test_chunks_are_put_together(send: Send, serve: Serve) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: 1\r\n\r\n"
    outcome = send(serve(answering(chunked)).url())
    assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"hello world")


def test_informational_answers_are_passed_over(send: Send, serve: Serve) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    peer = serve(answering(early + status("503 Down", body=b"x")))
    first, second = send(peer.url()), send(peer.url())
    assert [first.status, second.status] == [503, 503]
    assert first.retry_after(NOW) is None


def test_the_request_is_on_the_wire_as_given(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        seen.append(connection.request())
        connection.send(OK)

    peer = serve(behave)
    send(peer.url("/a/../b%2f?q=1&r="), headers={**HEADERS, "X-Empty": ""}, body=b'{"a":\x00 1}')
    head, body = seen[0].split(b"\r\n\r\n", 1)
    line, *fields = head.decode().split("\r\n")
    assert line in ("POST /a/../b%2f?q=1&r= HTTP/1.1", "POST /a/../b%2F?q=1&r= HTTP/1.1")
    assert sorted(name.rstrip() for name in fields) == sorted(
        [
            f"Host: 127.0.0.1:{peer.port}",
            "User-Agent: HyreLog/0.1",
            "Content-Length: 9",
            "X-Empty:",
            *(f"{name}: {value}" for name, value in HEADERS.items()),
        ]
    )
    assert body == b'{"a":\x00 1}'


def test_a_request_may_bring_its_own_user_agent_and_no_body(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        seen.append(connection.request())
        connection.send(OK)

    assert send(serve(behave).url(), headers={"User-Agent": "Mine/1"}, body=b"").kind is Kind.DELIVERED
    assert seen[0].count(b"User-Agent: Mine/1") == seen[0].lower().count(b"user-agent") == 1
    assert b"content-type" not in seen[0].lower()


@pytest.mark.parametrize(("line", "kind"), [("413 Too Large", Kind.REJECTED), ("200 OK", Kind.DELIVERED)])
def test_an_answer_given_before_the_body_is_read_counts(send: Send, serve: Serve, line: str, kind: Kind) -> None:
    def behave(connection: Connection) -> None:
        connection.head()
        reader = Thread(target=connection.wait_for_close)
        connection.send(status(line, "Connection: close", body=b"no"))
        reader.start()
        reader.join()

    outcome = send(serve(behave).url(), body=b"x" * 4_000_000)
    assert (outcome.kind, outcome.status, outcome.body) == (kind, int(line[:3]), b"no")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_early_answer_counts_though_the_body_is_never_read(
    send: Send,
    serve: Serve,
    certified: ssl.SSLContext,
    tls: bool,  # noqa: FBT001
) -> None:
    """And the connection, on which the rest of the body is owed, serves no other request."""

    def behave(connection: Connection) -> None:
        head = connection.head()
        connection.send(status("413 Too Large", body=b"no") if b"/large" in head else OK)
        connection.stopped.wait()

    peer = serve(behave, tls=certified if tls else None)
    outcome = send(peer.url("/large"), body=b"x" * 20_000_000)
    assert (outcome.kind, outcome.status, outcome.body) == (Kind.REJECTED, 413, b"no")
    assert send(peer.url()).kind is Kind.DELIVERED
    assert peer.accepted == 2


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_large_body_arrives_whole_at_a_receiver_that_reads_slowly(
    send: Send,
    serve: Serve,
    certified: ssl.SSLContext,
    tls: bool,  # noqa: FBT001
) -> None:
    body, seen = bytes(range(256)) * 40_000, []

    def behave(connection: Connection) -> None:
        connection.stopped.wait(0.2)
        seen.append(connection.request())
        connection.send(OK)

    assert send(serve(behave, tls=certified if tls else None).url(), body=body).kind is Kind.DELIVERED
    assert [request.endswith(body) for request in seen] == [True]


def test_a_receiver_that_answers_and_closes_with_the_body_unread_is_one_request(send: Send, serve: Serve) -> None:
    """The close comes with a reset, which may overtake the answer: then it is lost, and said to be."""

    def behave(connection: Connection) -> None:
        connection.head()
        connection.send(status("200 OK", "Connection: close", body=b"early"))

    peer = serve(behave)
    outcome = send(peer.url(), body=b"x" * 4_000_000)
    assert outcome.kind in (Kind.DELIVERED, Kind.DISCONNECTED), outcome
    assert (peer.accepted, outcome.repeated) == (1, False)
