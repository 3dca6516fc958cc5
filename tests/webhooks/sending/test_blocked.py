"""What our own rules forbid, over both transports: nothing reaches the wire."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.webhooks.sending.peers import OK, Connection, answering
from tests.webhooks.sending.registries import SPECIAL
from tests.webhooks.sending.senders import Opener, Send, Serve, sender
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.opening import open_transport
from webhooks.sending.outcome import Kind
from webhooks.sending.special_ranges import Network

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
        "localhost.",
        "127.0.0.1.",
        "\uff11\uff12\uff17.0.0.1",  # full-width digits
        "127\u30020\u30020\uff611",  # ideographic full stops
        "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",  # "localhost" in circles
        "xn--",
        "017700000001",
        "0x7F000001",
        "127.0.1",
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


@pytest.mark.parametrize("network", map(ip_network, SPECIAL), ids=str)
def test_no_special_range_is_reached(opener: Opener, network: Network) -> None:
    address = network[network.num_addresses // 2]
    host = f"[{address}]" if address.version == 6 else str(address)
    outcome = sender(opener(policy=HTTP))(f"http://{host}/")
    assert (outcome.kind, outcome.address) == (Kind.BLOCKED, None)


def test_plain_http_is_blocked_unless_allowed(opener: Opener) -> None:
    outcome = sender(opener(policy=AddressPolicy()))("http://hooks.example.com/token/s3cret")
    assert outcome.kind is Kind.BLOCKED
    assert "WEBHOOK_ALLOW_HTTP" in outcome.error
    assert "s3cret" not in outcome.error


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.com/",
        "http://user:s3cret@localhost/",
        "http://a b/",
        "http://a/\r\nX: y",
        "http://a/\n",
        "http://a\r\n/",
        "//x/",
    ],
)
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


def test_credentials_of_the_sender_s_netrc_are_not_sent(
    opener: Opener, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text("machine 127.0.0.1 login us password s3cret\ndefault login us password s3cret\n")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    seen: list[bytes] = []

    def behave(connection: Connection) -> None:
        seen.append(connection.request())
        connection.send(OK)

    assert sender(opener())(serve(behave).url()).kind is Kind.DELIVERED
    assert b"authorization" not in seen[0].lower()


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
