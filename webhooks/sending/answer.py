from collections.abc import Mapping, Sequence
from typing import Final

from webhooks.sending.body import Body
from webhooks.sending.outcome import STORED_BODY_CAP
from webhooks.sending.request import Sink

HEAD_CAP: Final = 64 * 1024
"""Bytes of status lines, headers and trailers after which an answer is no longer read."""

FIELD_CAP: Final = 100
"""Header fields from which on an answer is no longer read (http.client's own limit)."""

_STORED_HEADERS_CAP: Final = 8 * 1024
_STORED_VALUE_CAP: Final = 1024
_HEAD_ENDS: Final = (b"\r\n", b"\n")


class Answer:
    """An answer as it comes in, within its caps; both transports fill one for each request."""

    __slots__ = ("_body", "_headers", "_keep", "_lines", "_sink", "_size", "complete", "fault", "status")

    def __init__(self, *, keep: int = STORED_BODY_CAP, sink: Sink | None = None) -> None:
        self.status: int | None = None
        self.fault = ""
        """Why the head was refused; empty while it is acceptable."""
        self.complete = False
        """Whether the head came to its end: a connection lost within it is no answer, whatever the status line said."""
        self._lines: list[bytes] = []
        self._size = 0
        self._headers: dict[str, str] | None = None
        self._body: Body | None = None
        self._keep = keep
        self._sink = sink

    def take_line(self, line: bytes) -> bool:
        """Take one raw line of the head or of the trailers; False, with `fault` set, where a cap is passed."""
        self._size += len(line)
        if self._size > HEAD_CAP:
            self.fault = f"its headers are larger than {HEAD_CAP} bytes"
        elif line.startswith(b"HTTP/") and (self.status is None or self.status < 200):
            # Informational answers (1xx) come before the real one: what they said is void.
            self._lines.clear()
            self.complete = False
            self.status = int(line[9:12]) if line[9:12].isdigit() else None
            if self.status == 101:
                self.fault = "it switches protocols, which nobody asked for"
        elif not self.complete:  # what comes later are trailers
            self.complete = line in _HEAD_ENDS
            self._lines.append(line)
            if len(self._lines) > FIELD_CAP:  # the empty line is one of them
                self.fault = f"it has {FIELD_CAP} headers or more"
        return not self.fault

    def take_head(self, status: int, fields: Sequence[tuple[str, str]]) -> None:
        """Take a head that a library has parsed, and capped, already."""
        self.status = status
        self.complete = True
        self._headers = _stored(fields)

    def take_body(self, piece: bytes) -> bool:
        """Take a piece of the body as it came over the wire; False where nothing more needs to be read."""
        if self._sink and self.status is not None and 200 <= self.status < 300:
            return self._sink.take(piece, self.headers)
        if self._body is None:
            self._body = Body(self.headers.get("content-encoding", ""), keep=self._keep)
        return self._body.take(piece)

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields under lower-case names, repeated ones joined by commas, cut to what is kept."""
        if self._headers is None:
            parts = (line.decode("latin-1").partition(":") for line in self._lines)
            self._headers = _stored([(name, value) for name, colon, value in parts if colon])
        return self._headers

    @property
    def body(self) -> bytes:
        return b"" if self._body is None else self._body.kept


def _stored(fields: Sequence[tuple[str, str]]) -> dict[str, str]:
    stored: dict[str, str] = {}
    room = _STORED_HEADERS_CAP
    for raw_name, raw_value in fields:
        name = raw_name.strip().lower()
        value = raw_value.strip().replace("\0", "")[:_STORED_VALUE_CAP]  # text columns know no NUL
        room -= len(name) + len(value)
        if room < 0:
            break
        stored[name] = f"{stored[name]}, {value}" if name in stored else value
    return stored
