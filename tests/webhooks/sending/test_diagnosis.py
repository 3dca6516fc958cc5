"""A test of a webhook, stage by stage, over both transports."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import certifi
import pytest
import trustme

from tests.webhooks.sending.names import Answer, NameServer
from tests.webhooks.sending.peers import OK, Connection, answering, closing, status
from tests.webhooks.sending.senders import LOOPBACK, Serve, make
from webhooks.sending import diagnosis
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.diagnosis import Diagnosis, diagnose
from webhooks.sending.outcome import Kind
from webhooks.sending.resolver import Resolver

Look = Callable[..., Diagnosis]


@pytest.fixture(params=["curl", "requests"])
def look(request: pytest.FixtureRequest, names: NameServer, roots: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    monkeypatch.setattr(certifi, "where", lambda: str(roots))
    names.zone["hooks.example"] = ["127.0.0.1"]

    def look(url: str, *, policy: AddressPolicy = LOOPBACK, timeout: float = 10.0) -> Diagnosis:
        resolver = Resolver(policy=policy, name_servers=[names.address])
        return diagnose(make(url, timeout=timeout), transport=request.param, policy=policy, resolver=resolver)

    return look


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_every_stage_of_a_good_endpoint_is_seen(look: Look, serve: Serve, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("hooks.example", "*.hooks.example", not_after=datetime(2050, 1, 1, tzinfo=UTC))
    seen = look(serve(answering(OK), tls=context_of(certificate)).url(host="hooks.example"))
    assert (seen.outcome.kind, seen.outcome.address, seen.trusted) == (Kind.DELIVERED, "127.0.0.1", True)
    assert seen.resolution
    assert seen.resolution.addresses == ("127.0.0.1",)
    assert seen.handshake
    assert seen.handshake.version.startswith("TLSv1.")
    assert seen.handshake.certificate
    assert "hooks.example" in seen.handshake.certificate.names
    assert "trustme" in seen.handshake.certificate.issuer
    assert seen.handshake.certificate.not_after.year == 2050
    timing = seen.outcome.timing
    assert None not in (timing.dns, timing.connect, timing.tls, timing.first_byte, timing.total)


def test_an_expired_certificate_is_shown(look: Look, serve: Serve, authority: trustme.CA) -> None:
    certificate = authority.issue_cert("hooks.example", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    seen = look(serve(answering(OK), tls=context_of(certificate)).url(host="hooks.example"))
    assert (seen.outcome.kind, seen.trusted) == (Kind.TLS, False)
    assert "expired" in seen.outcome.error
    assert seen.handshake
    assert seen.handshake.certificate
    assert seen.handshake.certificate.not_after == datetime(2020, 1, 1, tzinfo=UTC)


def test_a_strange_certificate_is_shown_and_nothing_is_sent(look: Look, serve: Serve) -> None:
    heard: list[bytes] = []
    certificate = trustme.CA(organization_name="Stranger").issue_cert("other.example")
    peer = serve(lambda connection: heard.append(connection.head()), tls=context_of(certificate))
    seen = look(peer.url(host="hooks.example"))
    assert (seen.outcome.kind, seen.trusted) == (Kind.TLS, False)
    assert seen.handshake
    assert seen.handshake.certificate
    assert seen.handshake.certificate.names == ("other.example",)
    assert "Stranger" in seen.handshake.certificate.issuer
    assert not any(heard)


def test_a_server_without_tls_is_told_so(look: Look, serve: Serve) -> None:
    def behave(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.wait_for_close()

    seen = look(serve(behave).url(host="hooks.example").replace("http:", "https:"))
    assert (seen.outcome.kind, seen.trusted) == (Kind.TLS, False)
    assert seen.handshake
    assert seen.handshake.certificate is None
    assert seen.handshake.error


def test_a_handshake_that_never_ends_ends(look: Look, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_INSPECTION_SECONDS", 0.2)

    def drip(connection: Connection) -> None:
        connection.send(b"\x16\x03\x03\x10\x00")  # a record of 4 KiB, a byte at a time
        while not connection.stopped.wait(0.05) and connection.send(b"\x02"):
            pass

    seen = look(serve(drip).url(host="hooks.example").replace("http:", "https:"), timeout=0.4)
    assert (seen.outcome.kind, seen.trusted) == (Kind.TIMEOUT, None)
    assert seen.handshake
    assert "timed out" in seen.handshake.error


@pytest.mark.parametrize("answer", [["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["10.1.2.3"]])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_told_of_a_closed_address(
    look: Look, serve: Serve, names: NameServer, answer: Answer, scheme: str
) -> None:
    inside = serve(answering(OK), address="127.0.0.2")
    names.zone["inside.example"] = answer
    policy = AddressPolicy(allowed_networks=(ip_network("127.0.0.1"),), allow_http=True)
    seen = look(f"{scheme}://inside.example:{inside.port}/", policy=policy)
    assert (seen.outcome.kind, seen.outcome.address, seen.handshake) == (Kind.BLOCKED, None, None)
    assert not any(address in repr(seen) for address in ("127.0.0", "10.1.2"))
    assert inside.accepted == 0


@pytest.mark.parametrize("url", ["https://127.0.0.1:1/", "https://user:pw@hooks.example/", "http://hooks.example/"])
def test_a_url_that_is_never_sent_to_is_not_inspected(look: Look, names: NameServer, url: str) -> None:
    seen = look(url, policy=AddressPolicy())
    assert (seen.outcome.kind, seen.resolution, seen.handshake) == (Kind.BLOCKED, None, None)
    assert names.asked == []


def test_a_name_that_turns_inside_after_the_request_is_not_followed_there(
    look: Look, serve: Serve, names: NameServer, authority: trustme.CA
) -> None:
    certified = context_of(authority.issue_cert("turning.example"))
    outside = serve(closing(status("200 OK", "Connection: close")), tls=certified)
    inside = serve(answering(OK), tls=certified, address="127.0.0.2", port=outside.port)
    answers = iter([["127.0.0.1"]])
    names.zone["turning.example"] = lambda: next(answers, ["127.0.0.2"])
    policy = AddressPolicy(allowed_networks=(ip_network("127.0.0.1"),))
    seen = look(outside.url(host="turning.example"), policy=policy)
    assert (seen.outcome.kind, seen.trusted) == (Kind.DELIVERED, True)
    assert (outside.accepted, inside.accepted) == (2, 0)


def test_a_missing_name_and_a_closed_port_leave_no_handshake(look: Look, serve: Serve) -> None:
    missing = look("https://nobody.example/")
    assert (missing.outcome.kind, missing.handshake) == (Kind.DNS, None)
    assert missing.resolution
    assert (missing.resolution.kind, missing.resolution.addresses) == (Kind.DNS, ())
    with_port = look("https://hooks.example:1/")
    assert (with_port.outcome.kind, with_port.handshake) == (Kind.REFUSED, None)
    assert with_port.resolution
    assert with_port.resolution.addresses == ("127.0.0.1",)
