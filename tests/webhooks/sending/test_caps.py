"""Receivers that send too much, over both transports."""

import gzip
import threading
import zlib
from collections.abc import Callable

import pytest

from tests.webhooks.sending.peers import Connection, answering, closing, status
from tests.webhooks.sending.senders import PATIENCE, Send, Serve
from webhooks.sending.outcome import STORED_BODY_CAP, Kind

MEGABYTE = 1_000_000


def flood(*, beginning: bytes, repeated: bytes, gone: threading.Event) -> Callable[[Connection], None]:
    """Send until the other side has had enough."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(beginning)
        while not connection.stopped.is_set():
            if not connection.send(repeated):
                gone.set()
                return

    return behave


@pytest.mark.parametrize(
    ("framing", "repeated"),
    [
        (b"Content-Length: 10000000000", b"x" * 65536),
        (b"Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (b"Transfer-Encoding: chunked", b"1\r\nx\r\n" * 10_000),
        (b"Connection: close", b"x" * 65536),
    ],
    ids=["length", "chunks", "tiny-chunks", "until-close"],
)
@pytest.mark.parametrize("code", [200, 500])
def test_an_endless_body_is_read_to_the_cap_and_the_status_decides(
    send: Send, serve: Serve, framing: bytes, repeated: bytes, code: int
) -> None:
    gone = threading.Event()
    beginning = b"HTTP/1.1 %d Word\r\n" % code + framing + b"\r\n\r\n"
    outcome = send(serve(flood(beginning=beginning, repeated=repeated, gone=gone)).url())
    assert outcome.kind is (Kind.DELIVERED if code == 200 else Kind.REJECTED)
    assert outcome.body == b"x" * STORED_BODY_CAP
    assert gone.wait(PATIENCE)


def test_a_body_of_exactly_the_stored_cap_is_whole(send: Send, serve: Serve) -> None:
    body = b"y" * STORED_BODY_CAP
    assert send(serve(answering(status("200 OK", body=body))).url()).body == body


def test_a_gzip_bomb_is_cut_after_decompression(send: Send, serve: Serve) -> None:
    bomb, gone = gzip.compress(b"\0" * 20 * MEGABYTE), threading.Event()

    def behave(connection: Connection) -> None:
        connection.request()
        # The length says that more is to come: only a sender that stops at the cap gets to an outcome.
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9999999\r\n\r\n" + bomb)
        connection.wait_for_close()
        gone.set()

    outcome = send(serve(behave).url())
    assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"\0" * STORED_BODY_CAP)
    assert gone.wait(PATIENCE)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("X-GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
        ("br", bytes),
    ],
)
def test_a_compressed_body_is_decoded(
    send: Send, serve: Serve, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    answer = status("200 OK", f"Content-Encoding: {encoding}", body=encode(b"hello " * 100))
    assert send(serve(answering(answer)).url()).body == b"hello " * 100


@pytest.mark.parametrize("body", [b"not gzip at all", gzip.compress(b"a" * 1000)[:-9] + b"\xff" * 9])
def test_a_body_that_does_not_decode_leaves_the_decision_to_the_status(send: Send, serve: Serve, body: bytes) -> None:
    outcome = send(serve(answering(status("200 OK", "Content-Encoding: gzip", body=body))).url())
    assert outcome.kind is Kind.DELIVERED


def test_compressed_bytes_that_yield_nothing_are_capped_too(send: Send, serve: Serve) -> None:
    gone = threading.Event()
    beginning = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"done")
    outcome = send(serve(flood(beginning=beginning, repeated=b"\0" * 65536, gone=gone)).url())
    assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"done")
    assert gone.wait(PATIENCE)


@pytest.mark.parametrize(
    "repeated",
    [b"X-More: " + b"y" * 1000 + b"\r\n", b"a: b\r\n", b"y" * 65536, b"\r\nHTTP/1.1 100 Continue\r\nX: y\r\n"],
    ids=["long", "short", "one-line", "continues"],
)
def test_endless_headers_are_a_protocol_fault(send: Send, serve: Serve, repeated: bytes) -> None:
    gone = threading.Event()
    beginning = b"HTTP/1.1 100 Continue\r\n" if repeated.startswith(b"\r\n") else b"HTTP/1.1 200 OK\r\nX: "
    outcome = send(serve(flood(beginning=beginning, repeated=repeated, gone=gone)).url())
    assert outcome.kind is Kind.PROTOCOL, outcome
    assert outcome.body == b""
    assert gone.wait(PATIENCE)


@pytest.mark.parametrize("count", [98, 101])
def test_a_hundred_headers_are_too_many(send: Send, serve: Serve, count: int) -> None:
    answer = status("200 OK", *(f"X-{number}: v" for number in range(count)))
    assert send(serve(closing(answer)).url()).kind is (Kind.DELIVERED if count == 98 else Kind.PROTOCOL)


def test_a_header_of_a_megabyte_is_a_protocol_fault(send: Send, serve: Serve) -> None:
    assert send(serve(closing(status("200 OK", "X: " + "y" * MEGABYTE))).url()).kind is Kind.PROTOCOL


def test_kept_headers_are_cut(send: Send, serve: Serve) -> None:
    fields = [f"X-{number}: {'v' * 2000}" for number in range(20)]
    outcome = send(serve(answering(status("200 OK", *fields))).url())
    assert outcome.kind is Kind.DELIVERED
    assert set(map(len, outcome.headers.values())) == {1024}
    assert sum(len(name) + len(value) for name, value in outcome.headers.items()) <= 8192
