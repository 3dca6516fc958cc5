"""Answers that go to a sink, piece by piece, over both transports."""

import gzip
import threading
from collections.abc import Mapping

import pytest

from tests.webhooks.sending.peers import Connection, answering, closing, status
from tests.webhooks.sending.senders import PATIENCE, Send, Serve
from tests.webhooks.sending.test_caps import MEGABYTE, flood
from webhooks.sending.outcome import READ_CAP, Kind


class Bucket:
    """Takes up to `most` bytes."""

    def __init__(self, most: int = 100 * MEGABYTE) -> None:
        self.most, self.size, self.pieces, self.largest = most, 0, b"", 0
        self.headers: Mapping[str, str] = {}

    def take(self, piece: bytes, headers: Mapping[str, str]) -> bool:
        self.headers = headers
        self.size += len(piece)
        self.largest = max(self.largest, len(piece))
        self.pieces += piece[: max(0, 2 * READ_CAP - len(self.pieces))]
        return self.size < self.most


def test_an_answer_goes_to_the_sink_whole_and_beyond_the_cap(send: Send, serve: Serve) -> None:
    body, bucket = bytes(range(256)) * (20 * MEGABYTE // 256), Bucket()
    outcome = send(serve(answering(status("200 OK", "X-A: b", body=body))).url(), method="GET", sink=bucket, timeout=20)
    assert (outcome.kind, outcome.body, bucket.size) == (Kind.DELIVERED, b"", len(body))
    assert bucket.pieces == body[: 2 * READ_CAP]
    assert bucket.headers["x-a"] == "b"
    assert bucket.largest <= 64 * 1024


def test_chunks_go_to_the_sink_without_their_framing(send: Send, serve: Serve) -> None:
    bucket = Bucket()
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 1000 + b"0\r\nX: y\r\n\r\n"
    outcome = send(serve(answering(answer)).url(), method="GET", sink=bucket)
    assert (outcome.kind, bucket.pieces) == (Kind.DELIVERED, b"hello" * 1000)


def test_a_sink_gets_a_body_as_it_is_encoded(send: Send, serve: Serve) -> None:
    bucket, body = Bucket(), gzip.compress(b"hello")
    send(serve(answering(status("200 OK", "Content-Encoding: gzip", body=body))).url(), method="GET", sink=bucket)
    assert (bucket.pieces, bucket.headers["content-encoding"]) == (body, "gzip")


@pytest.mark.parametrize("line", ["404 Not Found", "302 Found", "500 Broken"])
def test_a_failure_s_body_does_not_go_to_the_sink(send: Send, serve: Serve, line: str) -> None:
    bucket = Bucket()
    outcome = send(serve(answering(status(line, body=b"sorry"))).url(), method="GET", sink=bucket)
    assert (outcome.kind, outcome.body, bucket.size) == (Kind.REJECTED, b"sorry", 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
    ids=["length", "chunks", "in-a-chunk"],
)
def test_an_answer_that_ends_too_early_is_no_success(send: Send, serve: Serve, answer: bytes) -> None:
    outcome = send(serve(closing(answer)).url(), method="GET", sink=Bucket())
    assert (outcome.kind, outcome.status) == (Kind.DISCONNECTED, 200)


@pytest.mark.parametrize(
    ("framing", "repeated"),
    [
        (b"Content-Length: 10000000000", b"x" * 65536),
        (b"Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (b"Connection: close", b"x" * 65536),
    ],
    ids=["length", "chunks", "until-close"],
)
def test_a_sink_that_has_enough_ends_the_request(send: Send, serve: Serve, framing: bytes, repeated: bytes) -> None:
    gone, bucket = threading.Event(), Bucket(most=8 * MEGABYTE)
    beginning = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
    peer = serve(flood(beginning=beginning, repeated=repeated, gone=gone))
    assert send(peer.url(), method="GET", sink=bucket, timeout=20).status == 200
    assert 8 * MEGABYTE <= bucket.size < 9 * MEGABYTE
    assert gone.wait(PATIENCE)


@pytest.mark.parametrize(
    ("last", "repeated"), [(b"5;", b"x" * 65536), (b"0\r\n", b"X: y\r\n" * 1000)], ids=["extension", "trailers"]
)
def test_framing_without_end_is_a_failure(send: Send, serve: Serve, last: bytes, repeated: bytes) -> None:
    gone = threading.Event()
    beginning = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + last
    peer = serve(flood(beginning=beginning, repeated=repeated, gone=gone))
    outcome = send(peer.url(), method="GET", sink=Bucket(), timeout=2)
    assert (outcome.kind is Kind.DELIVERED, outcome.status) == (False, 200)
    assert gone.wait(PATIENCE)


def test_a_slow_sink_keeps_the_server_waiting_until_the_deadline(send: Send, serve: Serve) -> None:
    release, gone = threading.Event(), threading.Event()

    class Slow(Bucket):
        def take(self, piece: bytes, headers: Mapping[str, str]) -> bool:
            release.wait(0.6)  # longer than the deadline
            return super().take(piece, headers)

    bucket = Slow()
    beginning = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
    peer = serve(flood(beginning=beginning, repeated=b"x" * 65536, gone=gone))
    outcome = send(peer.url(), method="GET", sink=bucket, timeout=0.5)
    assert outcome.kind is Kind.TIMEOUT
    assert bucket.size < MEGABYTE
    release.set()
    assert gone.wait(PATIENCE)


def test_a_dripping_body_ends_at_the_deadline(send: Send, serve: Serve) -> None:
    bucket = Bucket()

    def drip(connection: Connection) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not connection.stopped.wait(0.05) and connection.send(b"x"):
            pass

    outcome = send(serve(drip).url(), method="GET", sink=bucket, timeout=0.4)
    assert (outcome.kind, outcome.status) == (Kind.TIMEOUT, 200)
    assert 0 < bucket.size < 100
