import os
from typing import Final

import pycurl

from webhooks.sending.outcome import Kind

_TLS: Final = frozenset(
    (
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_CRL_BADFILE,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_SSL_ENGINE_INITFAILED,
        pycurl.E_USE_SSL_FAILED,
    )
)
_DISCONNECTED: Final = frozenset((pycurl.E_GOT_NOTHING, pycurl.E_PARTIAL_FILE, pycurl.E_SEND_ERROR))
_LOST_IN_RECEIVING: Final = ("Recv failure", "OpenSSL", "SSL_read", "Failure when receiving")


def kind_of(error: int, message: str, *, os_error: int) -> tuple[Kind, str]:
    """Name the kind of a failed transfer (libcurl-errors(3)), and what to say of it beside the kind's own sentence.

    `os_error` is the system's number for the last failed connect, 0 for none. What is not known to be anything else
    is a `PROTOCOL` fault: by then a connection stood, and what came over it was not an answer.
    """
    if error == pycurl.E_OPERATION_TIMEDOUT:
        return Kind.TIMEOUT, ""
    if error == pycurl.E_COULDNT_RESOLVE_HOST:
        return Kind.DNS, message
    if error == pycurl.E_COULDNT_CONNECT:
        return Kind.REFUSED, os.strerror(os_error) if os_error else message
    if error in _TLS:
        return Kind.TLS, message
    if error in _DISCONNECTED:
        return Kind.DISCONNECTED, message
    # One number for a connection that broke and for chunks that are no chunks: only the message tells.
    if error == pycurl.E_RECV_ERROR and message.startswith(_LOST_IN_RECEIVING):
        return Kind.DISCONNECTED, message
    return Kind.PROTOCOL, message
