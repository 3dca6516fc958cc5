"""What our own rules forbid, over both transports: nothing reaches the wire."""

import pytest

from tests.webhooks.sending.peers import OK, Connection, answering
from tests.webhooks.sending.senders import Opener, Send, Serve, sender
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.opening import open_transport
from webhooks.sending.outcome import Kind

HTTP = AddressPolicy(allow_http=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.01",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::]",
        "0.0.0.0",  # noqa: S104 - a target here, bound by nobody
    ],
)
def test_no_spelling_of_loopback_is_reached(opener: Opener, serve: Serve, host: str) -> None:
    peer = serve(answering(OK))
    outcome = sender(opener(policy=HTTP))(f"http://{host}:{peer.port}/")
    assert (outcome.kind, outcome.status, outcome.address) == (Kind.BLOCKED, None, None)
    assert outcome.error.startswith("Nothing was sent")
    assert peer.accepted == 0


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"])
def test_an_allowance_does_not_open_other_spellings(send: Send, serve: Serve, host: str) -> None:
    peer = serve(answering(OK))
    assert send(f"http://{host}:{peer.port}/").kind is Kind.BLOCKED
    assert peer.accepted == 0


def test_plain_http_is_blocked_unless_allowed(opener: Opener) -> None:
    outcome = sender(opener(policy=AddressPolicy()))("http://hooks.example.com/token/s3cret")
    assert outcome.kind is Kind.BLOCKED
    assert "WEBHOOK_ALLOW_HTTP" in outcome.error
    assert "s3cret" not in outcome.error


@pytest.mark.parametrize("url", ["", "ftp://example.com/", "http://user:s3cret@localhost/", "http://a b/", "//x/"])
def test_a_bad_url_comes_back_as_an_outcome(send: Send, url: str) -> None:
    outcome = send(url)
    assert outcome.kind is Kind.BLOCKED
    assert "s3cret" not in outcome.error


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\n"},
        {"X-A": "1\0"},
        {"X-A": "ä"},
        {"X-A\r\n": "1"},
        {"X A": "1"},
        {"X-A: 1\r\nHost": "1"},
        {"": "1"},
        {"Host: a": "1"},
        {"host": "inside"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "0"},
    ],
)
def test_a_header_that_breaks_the_framing_is_blocked(send: Send, serve: Serve, headers: dict[str, str]) -> None:
    peer = serve(answering(OK))
    assert send(peer.url(), headers=headers).kind is Kind.BLOCKED
    assert peer.accepted == 0


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_proxies_of_the_environment_are_ignored(
    opener: Opener, serve: Serve, monkeypatch: pytest.MonkeyPatch, case: type[str]
) -> None:
    proxy, peer = serve(answering(OK)), serve(answering(OK))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(case(name), proxy.url(""))
    assert sender(opener())(peer.url()).kind is Kind.DELIVERED
    assert (proxy.accepted, peer.accepted) == (0, 1)


def test_cookies_are_not_sent_back(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        while request := connection.request():
            seen.append(request.lower())
            connection.send(OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1))

    peer = serve(behave)
    assert [send(peer.url()).kind for _ in range(2)] == [Kind.DELIVERED] * 2
    assert not any(b"cookie" in request for request in seen)


def test_an_unknown_transport_is_an_error() -> None:
    with pytest.raises(ValueError, match="WEBHOOK_TRANSPORT is 'smoke'"):
        open_transport("smoke", capacity=1, policy=HTTP)
