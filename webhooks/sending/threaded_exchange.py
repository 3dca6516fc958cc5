import contextlib
import socket
import threading
from contextvars import ContextVar
from typing import Final

from webhooks.sending.answer import HEAD_CAP
from webhooks.sending.exchange import Exchange
from webhooks.sending.outcome import Kind
from webhooks.sending.request import Request
from webhooks.sending.resolver import Resolver
from webhooks.sending.target import Target

_READ_AHEAD: Final = 16 * 1024
_WIRE_CAP: Final = 4 * 1024 * 1024  # what a body within its own cap can take in the smallest of chunks, and more


class Failed(Exception):
    """An exchange failed, and how. No OSError, so that urllib3 and requests let it pass as it is."""

    def __init__(self, kind: Kind, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


class Enough(Exception):
    """More came over the wire than an answer may take: reading ends, and the status decides."""


class ThreadedExchange(Exchange):
    """An exchange that a thread of its own drives, which connections find through `current`."""

    __slots__ = ("_aborted", "_lock", "_most", "_socket", "cut", "early", "in_head", "received", "resolver", "reused")

    def __init__(self, request: Request, target: Target, *, resolver: Resolver) -> None:
        super().__init__(request, target)
        self.resolver = resolver
        self.received = 0
        self._most = _WIRE_CAP
        self.cut = False
        """Whether the request was not sent to its end: then its connection serves no other."""
        self.early = b""
        """What had come of the answer by then."""
        self.in_head = True
        self.reused = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._aborted = False

    def time_left(self) -> float:
        """Seconds for the next blocking call; raises `Failed` where the deadline has passed."""
        left = self.remaining()
        if left <= 0 or self._aborted:
            raise Failed(Kind.TIMEOUT)
        return left

    def note_received(self, count: int) -> None:
        """Count bytes of the answer; raises `Failed` or `Enough` where they pass a cap."""
        if count == 0 and self.in_head:  # http.client would take the end of the connection for the end of the head
            raise Failed(Kind.DISCONNECTED)
        if self.first_byte is None:
            self.first_byte = self.elapsed()
        self.received += count
        if self.in_head and self.received > HEAD_CAP + _READ_AHEAD:
            raise Failed(Kind.PROTOCOL, f"its headers are larger than {HEAD_CAP} bytes")
        if self.received > self._most:
            if self.request.sink:  # there is no cap that a whole answer would have kept to
                raise Failed(Kind.PROTOCOL, "its body comes in pieces that hold hardly anything")
            raise Enough

    def note_taken(self) -> None:
        """A sink took a piece: what an answer may take over the wire counts from there."""
        if self.request.sink:
            self._most = self.received + _WIRE_CAP

    def may_repeat(self, failed: Failed) -> bool:
        """Whether a kept connection turned out to be dead: it ended without a single byte of an answer.

        libcurl repeats in the same case and in no other. Once a byte has come, the request is not sent again.
        """
        return failed.kind is Kind.DISCONNECTED and self.reused and self.received == 0 and not self.repeated

    def hold(self, sock: socket.socket) -> None:
        """Keep a descriptor of the connection in use, our own, by which `abort` can end it from another thread."""
        own = socket.fromfd(sock.fileno(), sock.family, sock.type)
        with self._lock:
            old, self._socket = self._socket, own
        if old is not None:
            old.close()
        if self._aborted:
            self.abort()

    def abort(self) -> None:
        """End whatever the exchange's thread waits for on its connection; from any thread."""
        self._aborted = True
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


CURRENT: Final[ContextVar[ThreadedExchange]] = ContextVar("exchange")
"""The exchange the running thread drives: connections are made deep inside libraries, without an argument for it."""
