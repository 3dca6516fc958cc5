import socket
from io import RawIOBase
from typing import Any

from webhooks.sending.outcome import Kind
from webhooks.sending.threaded_exchange import Failed, ThreadedExchange


class DeadlineReader(RawIOBase):
    """A socket's bytes, until the exchange's deadline.

    A timeout on a socket starts anew with each byte; here each read gets what is left of the one deadline, so that a
    receiver dripping a byte a second ends with it.
    """

    def __init__(self, raw: RawIOBase, sock: socket.socket, exchange: ThreadedExchange) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if early := self._exchange.early:
            count = min(len(buffer), len(early))
            buffer[:count], self._exchange.early = early[:count], early[count:]
            self._exchange.note_received(count)
            return count
        try:
            self._sock.settimeout(self._exchange.time_left())
            count = self._raw.readinto(buffer) or 0
        except TimeoutError as error:
            raise Failed(Kind.TIMEOUT) from error
        except OSError as error:
            raise Failed(Kind.DISCONNECTED, error.strerror or "") from error
        self._exchange.note_received(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
