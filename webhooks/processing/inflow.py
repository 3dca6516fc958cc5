"""Reading an answer's body while it comes in, no faster than it is worked off."""

from collections.abc import Callable, Iterator, Mapping
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from webhooks.sending.alone import send_alone
from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request
from webhooks.sending.transport import Transport

AHEAD: Final = 32
"""Pieces, of at most 16 KiB, that wait to be worked off; with more to come, the sender waits."""

_TICK: Final = 0.1


class Inflow:
    """The body of a request's answer, as an iterator of pieces; a thread drives the transport meanwhile.

    `outcome` is there once the pieces have ended; unless it is a success, they are not all. As a context it ends the
    request where it is left.
    """

    def __init__(
        self, request: Request, *, open_transport: Callable[[], Transport], look: Callable[[], object]
    ) -> None:
        self.headers: Mapping[str, str] = {}
        """The answer's; empty before the first piece."""
        self.came = 0
        """Bytes that were handed out."""
        self.outcome: Outcome | None = None
        self._request = request._replace(sink=self)
        self._open_transport = open_transport
        self._look = look
        self._pieces: Queue[bytes | None] = Queue(AHEAD)
        self._broken: BaseException | None = None
        self._closed = Event()
        self._thread = Thread(target=self._run, name="inflow", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def __iter__(self) -> Iterator[bytes]:
        """The pieces. Raises what `look` raises, which is called several times a second, and what broke the wire."""
        while True:
            self._look()
            try:
                piece = self._pieces.get(timeout=_TICK)
            except Empty:
                continue
            if piece is None:
                break
            self.came += len(piece)
            yield piece
        if self._broken:
            raise self._broken

    def take(self, piece: bytes, headers: Mapping[str, str]) -> bool:
        """See Sink."""
        self.headers = headers
        return self._put(piece)

    @property
    def length(self) -> int | None:
        """Bytes of the body as it comes over the wire, where the answer tells."""
        told = self.headers.get("content-length", "")
        return int(told) if told.isdecimal() and len(told) < 20 else None

    def _run(self) -> None:
        try:
            transport = self._open_transport()
            try:
                self.outcome = send_alone(self._request, transport=transport, look=self._end_if_closed)
            finally:
                transport.close()
        except BaseException as error:  # noqa: BLE001  raised where it can be handled
            self._broken = error
        self._put(None)

    def _end_if_closed(self) -> None:
        if self._closed.is_set():
            raise InflowClosed

    def _put(self, piece: bytes | None) -> bool:
        while not self._closed.is_set():
            try:
                self._pieces.put(piece, timeout=_TICK)
            except Full:
                continue
            return True
        return False


class InflowClosed(Exception):
    """Nobody wants the rest of an answer."""
