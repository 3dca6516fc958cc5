from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from webhooks.sending.outcome import STORED_BODY_CAP

WITHOUT_BODY: Final = ("GET", "HEAD")
"""Methods of requests whose body is never sent: a body has no meaning there (RFC 9110, 9.3.1 and 9.3.2)."""


class Sink(Protocol):
    """Takes the body of an answer of status 2xx, piece by piece, as it came over the wire: still encoded.

    It may keep the transport waiting, which then reads no further; the request's deadline goes on. The transport may
    call it from a thread of its own.
    """

    def take(self, piece: bytes, headers: Mapping[str, str]) -> bool:
        """Take a piece, with the answer's headers; False ends the request, as if the answer had ended. Never raises."""
        ...


class Request(NamedTuple):
    """One request, complete as it shall appear on the wire.

    `id` is the attempt's and comes back with the outcome. `headers` hold everything, signatures included: a transport
    adds only Host, Content-Length and, where none is given, a User-Agent. `timeout` is one deadline in seconds, from
    the name look-up to the last byte of the answer. `keep` is how many bytes of the decoded answer the outcome holds,
    at most `READ_CAP`; with a `sink`, an answer of status 2xx goes there, without a cap, and the outcome holds none.
    """

    id: UUID
    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
    method: str = "POST"
    keep: int = STORED_BODY_CAP
    sink: Sink | None = None
