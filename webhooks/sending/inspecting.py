"""Looking at a server's certificate, whether it is trusted or not."""

import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509

from webhooks.sending.target import Target

_TEXT_CAP: Final = 300
_NAMES_CAP: Final = 20


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server shows for itself. All of it is the server's own word."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a TLS handshake came to: the protocol and the certificate; or an error."""

    version: str = ""
    certificate: Certificate | None = None
    error: str = ""


def inspect(target: Target, *, address: str, timeout: float) -> Handshake:
    """Shake hands with `address` as if to send to `target`, trusting anybody and sending nothing.

    The caller has had the address judged: it is one that a request was just sent to.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address, target.port), timeout=timeout) as sock,
            context.wrap_socket(sock, server_hostname=target.host) as session,
        ):
            return Handshake(session.version() or "", _read(session.getpeercert(binary_form=True) or b""))
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        return Handshake(error=str(reason)[:_TEXT_CAP])


def _read(der: bytes) -> Certificate:
    """Raises ValueError for what is no certificate."""
    certificate = x509.load_der_x509_certificate(der)
    return Certificate(
        subject=certificate.subject.rfc4514_string()[:_TEXT_CAP],
        issuer=certificate.issuer.rfc4514_string()[:_TEXT_CAP],
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The hosts it is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return ()
    hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return tuple(host[:_TEXT_CAP] for host in hosts[:_NAMES_CAP])
