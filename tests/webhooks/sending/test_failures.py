"""What goes wrong on the way, over both transports: an outcome each, never an exception."""

import socket

import pytest

from tests.webhooks.sending.names import SILENCE, NameServer
from tests.webhooks.sending.peers import Connection, closing
from tests.webhooks.sending.senders import Send, Serve
from webhooks.sending.outcome import Kind

SHORT = 0.4


def test_a_closed_port_is_refused(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = send(f"http://127.0.0.1:{port}/hook?token=s3cret")
    assert (outcome.kind, outcome.status, outcome.address) == (Kind.REFUSED, None, "127.0.0.1")
    assert outcome.error.startswith(f"http://127.0.0.1:{port} accepted no connection: Connection refused. Check that")


def test_an_unknown_name_is_a_dns_failure(send: Send) -> None:
    outcome = send("https://hooks.example.invalid/hook")
    assert (outcome.kind, outcome.address) == (Kind.DNS, None)
    assert "hooks.example.invalid" in outcome.error
    assert outcome.timing.connect is None


def test_a_passed_deadline_ends_a_look_up(send: Send, names: NameServer) -> None:
    names.zone["slow.example.invalid"] = SILENCE
    assert send("https://slow.example.invalid/hook", timeout=0.0).kind is Kind.TIMEOUT


def test_a_silent_receiver_ends_at_the_deadline(send: Send, serve: Serve) -> None:
    outcome = send(serve(Connection.wait_for_close).url(), timeout=SHORT)
    assert (outcome.kind, outcome.status) == (Kind.TIMEOUT, None)
    assert "0.4 s" in outcome.error


def drip(connection: Connection, *, beginning: bytes, drop: bytes) -> None:
    connection.request()
    connection.send(beginning)
    while not connection.stopped.wait(0.05) and connection.send(drop):
        pass


@pytest.mark.parametrize(
    ("beginning", "drop", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0", 200),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", None),
    ],
    ids=["body", "chunks", "chunk-length", "header", "continues"],
)
def test_a_dripping_answer_ends_at_the_deadline(
    send: Send, serve: Serve, beginning: bytes, drop: bytes, code: int | None
) -> None:
    outcome = send(serve(lambda c: drip(c, beginning=beginning, drop=drop)).url(), timeout=SHORT)
    assert outcome.kind is Kind.TIMEOUT
    assert code is None or outcome.status == code


def test_a_receiver_that_never_reads_ends_at_the_deadline(send: Send, serve: Serve) -> None:
    peer = serve(lambda connection: connection.stopped.wait() and None)
    assert send(peer.url(), body=b"x" * 20_000_000, timeout=SHORT).kind is Kind.TIMEOUT


def test_a_reset_before_the_answer_is_a_disconnect(send: Send, serve: Serve) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        connection.reset()

    outcome = send(serve(behave).url())
    assert (outcome.kind, outcome.status) == (Kind.DISCONNECTED, None)


def test_a_close_before_the_answer_is_a_disconnect(send: Send, serve: Serve) -> None:
    peer = serve(closing(b""))
    assert send(peer.url()).kind is Kind.DISCONNECTED
    assert peer.accepted == 1


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
    ids=["status-line", "head", "length", "chunk", "chunks"],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_lost_within_the_answer_is_a_disconnect(send: Send, serve: Serve, part: bytes, end: str) -> None:
    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(part)
        getattr(connection, end)()

    peer = serve(behave)
    outcome = send(peer.url())
    assert outcome.kind is Kind.DISCONNECTED
    assert outcome.status in (200, None)  # None where the end of the head, or a reset that overtook it, is what is lost
    assert peer.accepted == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"hello\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["ssh", "text", "http2", "status", "low-status", "upgrade", "length", "lengths", "negative", "chunk", "field"],
)
def test_what_is_not_http_is_a_protocol_fault(send: Send, serve: Serve, answer: bytes) -> None:
    outcome = send(serve(closing(answer)).url())
    assert outcome.kind is Kind.PROTOCOL, outcome
    assert "not acceptable HTTP" in outcome.error
