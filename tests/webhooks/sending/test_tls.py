"""Trust, over both transports."""

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme

from tests.webhooks.sending.peers import OK, Connection, answering
from tests.webhooks.sending.senders import Send, Serve
from webhooks.sending.outcome import Kind


def context_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_a_certified_name_is_delivered_to_and_its_connection_kept(
    send: Send, serve: Serve, certified: ssl.SSLContext
) -> None:
    peer = serve(answering(OK), tls=certified)
    first, second = send(peer.url(host="localhost")), send(peer.url(host="LOCALHOST"))
    assert (first.kind, second.kind, peer.accepted) == (Kind.DELIVERED, Kind.DELIVERED, 1)
    assert first.timing.connect
    assert first.timing.tls
    assert first.timing.connect <= first.timing.tls
    assert (second.timing.connect, second.timing.tls) == (None, None)
    assert second.address == "127.0.0.1"


def test_the_name_of_the_url_is_asked_for(send: Send, serve: Serve, certified: ssl.SSLContext) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def choose(sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        names.append(name)
        sock.context = certified

    context.sni_callback = choose
    assert send(serve(answering(OK), tls=context).url(host="localhost")).kind is Kind.DELIVERED
    assert names == ["localhost"]


def test_a_certified_address_is_delivered_to(send: Send, serve: Serve, certified: ssl.SSLContext) -> None:
    assert send(serve(answering(OK), tls=certified).url()).kind is Kind.DELIVERED


def test_an_unknown_authority_is_refused(send: Send, serve: Serve) -> None:
    seen: list[bytes] = []
    peer = serve(lambda c: seen.append(c.request()), tls=context_of(trustme.CA().issue_cert("localhost")))
    outcome = send(peer.url("/hook?token=s3cret", host="localhost"))
    assert (outcome.kind, outcome.status, any(seen)) == (Kind.TLS, None, False)
    assert "certificate" in outcome.error
    assert "s3cret" not in outcome.error


def test_a_self_signed_certificate_is_refused(send: Send, serve: Serve, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.private_key_pem.write_to_path(str(tmp_path / "self.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "self.pem"), append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "self.pem")
    outcome = send(serve(answering(OK), tls=context).url(host="localhost"))
    assert outcome.kind is Kind.TLS
    assert "certificate" in outcome.error


def test_a_certificate_for_another_host_is_refused(send: Send, serve: Serve, authority: trustme.CA) -> None:
    peer = serve(answering(OK), tls=context_of(authority.issue_cert("other.example")))
    assert send(peer.url(host="localhost")).kind is Kind.TLS
    assert send(peer.url()).kind is Kind.TLS


def test_an_expired_certificate_is_refused(send: Send, serve: Serve, authority: trustme.CA) -> None:
    expired = authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    outcome = send(serve(answering(OK), tls=context_of(expired)).url(host="localhost"))
    assert outcome.kind is Kind.TLS
    assert "expired" in outcome.error


def test_a_receiver_that_speaks_tls_1_1_only_is_refused(send: Send, serve: Serve, authority: trustme.CA) -> None:
    context = context_of(authority.issue_cert("localhost"))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    for each in (context, old):
        each.set_ciphers("ALL:@SECLEVEL=0")
        each.minimum_version = each.maximum_version = ssl.TLSVersion.TLSv1_1
    peer = serve(answering(OK), tls=context)
    with (
        socket.create_connection(("127.0.0.1", peer.port)) as sock,
        old.wrap_socket(sock, server_hostname="localhost") as spoken,
    ):
        assert spoken.version() == "TLSv1.1"
    outcome = send(peer.url(host="localhost"))
    assert (outcome.kind, outcome.status) == (Kind.TLS, None)
    assert "TLS 1.2" in outcome.error


def test_a_receiver_without_tls_is_a_tls_failure(send: Send, serve: Serve) -> None:
    def behave(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.wait_for_close()

    peer = serve(behave)
    assert send(f"https://localhost:{peer.port}/").kind is Kind.TLS


def test_a_handshake_that_never_ends_is_ended_by_the_deadline(send: Send, serve: Serve) -> None:
    peer = serve(Connection.wait_for_close)
    assert send(f"https://localhost:{peer.port}/", timeout=0.4).kind is Kind.TIMEOUT
