import os
from typing import Final

import pycurl

from webhooks.sending.outcome import Kind

_KINDS: Final = {
    pycurl.E_OPERATION_TIMEDOUT: Kind.TIMEOUT,
    pycurl.E_COULDNT_RESOLVE_HOST: Kind.DNS,
    pycurl.E_COULDNT_CONNECT: Kind.REFUSED,
    pycurl.E_SSL_CONNECT_ERROR: Kind.TLS,
    pycurl.E_PEER_FAILED_VERIFICATION: Kind.TLS,
    pycurl.E_SSL_CERTPROBLEM: Kind.TLS,
    pycurl.E_SSL_CIPHER: Kind.TLS,
    pycurl.E_SSL_ISSUER_ERROR: Kind.TLS,
    pycurl.E_SSL_CRL_BADFILE: Kind.TLS,
    pycurl.E_SSL_INVALIDCERTSTATUS: Kind.TLS,
    pycurl.E_SSL_ENGINE_INITFAILED: Kind.TLS,
    pycurl.E_USE_SSL_FAILED: Kind.TLS,
    pycurl.E_GOT_NOTHING: Kind.DISCONNECTED,
    pycurl.E_PARTIAL_FILE: Kind.DISCONNECTED,
    pycurl.E_SEND_ERROR: Kind.DISCONNECTED,
}
_LOST_IN_RECEIVING: Final = ("Recv failure", "OpenSSL", "SSL_read", "Failure when receiving")


def kind_of(error: int, message: str, *, os_error: int) -> tuple[Kind, str]:
    """Name the kind of a failed transfer (libcurl-errors(3)), and what to say of it beside the kind's own sentence.

    `os_error` is the system's number for the last failed connect, 0 for none. What is not known to be anything else
    is a `PROTOCOL` fault: by then a connection stood, and what came over it was not an answer.
    """
    kind = _KINDS.get(error, Kind.PROTOCOL)
    # One number for a connection that broke and for chunks that are no chunks: only the message tells.
    if error == pycurl.E_RECV_ERROR and message.startswith(_LOST_IN_RECEIVING):
        kind = Kind.DISCONNECTED
    if kind is Kind.TIMEOUT:
        return kind, ""  # the message only repeats the deadline
    if kind is Kind.REFUSED and os_error:
        return kind, os.strerror(os_error)
    return kind, message
