"""Requests of every method, over both transports."""

import pytest

from tests.webhooks.sending.peers import OK, Connection, status
from tests.webhooks.sending.senders import Send, Serve
from webhooks.sending.outcome import READ_CAP, STORED_BODY_CAP, Kind

HEADERS = {"X-Team": "billing"}


class Recorder:
    """Keeps each request; answers a HEAD without a body, as a server does."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.requests: list[bytes] = []

    def __call__(self, connection: Connection) -> None:
        while request := connection.request():
            self.requests.append(request)
            head, _, _ = self.answer.partition(b"\r\n\r\n")
            connection.send(head + b"\r\n\r\n" if request.startswith(b"HEAD ") else self.answer)


def fields(request: bytes) -> set[str]:
    head = request.partition(b"\r\n\r\n")[0].decode()
    return {line.partition(":")[0].lower() for line in head.split("\r\n")[1:]}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_goes_with_the_methods_that_have_one(send: Send, serve: Serve, method: str) -> None:
    recorder = Recorder()
    outcome = send(serve(recorder).url(), method=method, headers={"Content-Type": "text/plain"}, body=b"a\0b")
    assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"ok")
    (request,) = recorder.requests
    assert request.startswith(method.encode() + b" /hook HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\na\0b")
    assert fields(request) == {"host", "user-agent", "content-type", "content-length"}


def test_an_empty_body_says_its_length(send: Send, serve: Serve) -> None:
    recorder = Recorder()
    assert send(serve(recorder).url(), method="DELETE", headers=HEADERS, body=b"").status == 200
    assert fields(recorder.requests[0]) == {"host", "user-agent", "x-team", "content-length"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_body_goes_with_the_methods_that_have_none(send: Send, serve: Serve, method: str) -> None:
    recorder = Recorder()
    outcome = send(serve(recorder).url(), method=method, headers=HEADERS, body=b"not sent")
    assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"ok" if method == "GET" else b"")
    (request,) = recorder.requests
    assert request.startswith(method.encode() + b" /hook HTTP/1.1\r\n")
    assert b"not sent" not in request
    assert fields(request) == {"host", "user-agent", "x-team"}


def test_a_kept_connection_carries_every_method_in_any_order(send: Send, serve: Serve) -> None:
    recorder = Recorder()
    peer = serve(recorder)
    order = ["POST", "HEAD", "GET", "PUT", "GET", "HEAD", "POST", "DELETE", "HEAD", "HEAD", "PATCH"]
    for method in order:
        outcome = send(peer.url(), method=method, headers=HEADERS, body=method.encode())
        assert (outcome.kind, outcome.body) == (Kind.DELIVERED, b"" if method == "HEAD" else b"ok")
    assert [request.split(b" ")[0].decode() for request in recorder.requests] == order
    assert peer.accepted == 1
    bodies = [request.partition(b"\r\n\r\n")[2].decode() for request in recorder.requests]
    assert bodies == ["" if method in ("GET", "HEAD") else method for method in order]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_for_no_method(send: Send, serve: Serve, method: str, code: int) -> None:
    recorder = Recorder(status(f"{code} Moved", "Location: /elsewhere"))
    outcome = send(serve(recorder).url(), method=method)
    assert (outcome.kind, outcome.status) == (Kind.REJECTED, code)
    assert len(recorder.requests) == 1


@pytest.mark.parametrize(("keep", "kept"), [(STORED_BODY_CAP, STORED_BODY_CAP), (70_000, 70_000), (READ_CAP, 100_000)])
def test_as_much_of_an_answer_is_kept_as_was_asked_for(send: Send, serve: Serve, keep: int, kept: int) -> None:
    outcome = send(serve(Recorder(status("200 OK", body=b"z" * 100_000))).url(), method="GET", keep=keep)
    assert outcome.body == b"z" * kept
