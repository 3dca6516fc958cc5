from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from webhooks.sending.retry_after import seconds_until

STORED_BODY_CAP: Final = 16 * 1024
"""Bytes of a decoded answer that are kept."""

READ_CAP: Final = 256 * 1024
"""Bytes of an answer after which reading stops, counted after decompression (and before it, where that is more)."""


class Kind(StrEnum):
    """What became of one request."""

    DELIVERED = "delivered"  # 2xx
    REJECTED = "rejected"  # any other status; a redirect too, which is never followed
    TIMEOUT = "timeout"  # the deadline passed, whatever had been reached by then
    DNS = "dns"  # the name has no address
    REFUSED = "refused"  # no TCP connection
    TLS = "tls"  # no trusted TLS session
    BLOCKED = "blocked"  # our own rules forbid it; nothing was sent
    PROTOCOL = "protocol"  # the answer is not HTTP as we accept it
    DISCONNECTED = "disconnected"  # reset or closed before the answer was complete


class Timing(NamedTuple):
    """When each stage of a request was completed, in milliseconds since it was submitted.

    None where a stage was not reached or did not take place: a cached name has no `dns`, a connection kept alive from
    an earlier request neither `connect` nor `tls`.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    total: float | None = None

    def as_json(self) -> dict[str, float | None]:
        """The stages as the API shows them, to a tenth of a millisecond."""
        names = {"dns": "dns", "connect": "connect", "tls": "tls", "first_byte": "firstByte", "total": "total"}
        return {names[stage]: at and round(at, 1) for stage, at in self._asdict().items()}


class Outcome(NamedTuple):
    """What became of one request, as data: an expected failure raises nothing.

    `status` is also set where the answer began and did not end (`TIMEOUT`, `DISCONNECTED`). `error` is one sentence for
    the owner of the endpoint, empty for `DELIVERED`. `headers` have lower-case names. `body` is the beginning of the
    decoded answer, at most `STORED_BODY_CAP` bytes; it may hold any byte, NUL included.
    `repeated` says that the request was sent a second time within this attempt, because the kept connection it was
    first sent on ended without an answer: the receiver may have had it twice.
    """

    kind: Kind
    status: int | None = None
    error: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    address: str | None = None
    timing: Timing = Timing()
    repeated: bool = False

    @property
    def overloaded(self) -> bool:
        """Whether it is a sign that the receiver has more to do than it can: fewer requests at once may help."""
        return self.kind in (Kind.TIMEOUT, Kind.REFUSED, Kind.DISCONNECTED) or self.status in (429, 503)

    def retry_after(self, now: datetime) -> float | None:
        """Seconds the receiver asks us to wait (RFC 9110, 10.2.3): never negative, None where it does not ask.

        Only 429 and 503 are heard. `now` must carry a time zone. The caller bounds the value.
        """
        if self.status not in (429, 503):
            return None
        return seconds_until(self.headers.get("retry-after", ""), now=now)
