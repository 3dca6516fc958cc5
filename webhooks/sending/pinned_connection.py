"""urllib3's connections, made to follow an exchange: its checked address, its deadline, its caps, its clock."""

import socket
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from io import BufferedReader
from ssl import SSLError
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from webhooks.sending.deadline_reader import DeadlineReader
from webhooks.sending.outcome import Kind
from webhooks.sending.pinned_socket import open_socket, send_until_answered
from webhooks.sending.threaded_exchange import CURRENT, Failed


class _Response(HTTPResponse):
    """An answer that is read within the exchange's deadline and caps."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        reader = DeadlineReader(self.fp.detach(), sock, CURRENT.get())
        self.fp = BufferedReader(reader)

    def begin(self) -> None:
        try:
            super().begin()
        except RemoteDisconnected as error:
            raise Failed(Kind.DISCONNECTED) from error
        except (HTTPException, ValueError) as error:
            raise Failed(Kind.PROTOCOL, f"{type(error).__name__} {error}") from error
        if self.msg.defects:
            raise Failed(Kind.PROTOCOL, f"its headers are malformed ({type(self.msg.defects[0]).__name__})")
        if self.status < 200:
            raise Failed(Kind.PROTOCOL, "it switches protocols, which nobody asked for")
        lengths = {length.strip() for field in self.msg.get_all("content-length", []) for length in field.split(",")}
        if lengths and not (len(lengths) == 1 and lengths.pop().isdecimal()):
            raise Failed(Kind.PROTOCOL, "its Content-Length is no number")
        exchange = CURRENT.get()
        exchange.in_head = False
        self.will_close = self.will_close or exchange.cut

    def _read_status(self) -> tuple[str, int, str]:
        """Skip every informational answer; http.client skips 100 only, and takes a 103 for the final one."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101 or not 100 <= status < 200:
                return version, status, reason
            while self.fp.readline(1024).strip():
                pass


class _PinnedConnection(HTTPConnection):
    response_class = _Response
    address = ""

    def _new_conn(self) -> socket.socket:
        sock = open_socket(CURRENT.get())
        self.address = sock.getpeername()[0]
        return sock

    def send(self, data: Any) -> None:
        try:
            if self.sock is None:
                self.connect()
            send_until_answered(self.sock, data, CURRENT.get())
        except TimeoutError as error:
            raise Failed(Kind.TIMEOUT) from error
        except (ConnectionError, SSLError) as error:
            # urllib3 goes on to read after this one: a receiver may have answered before it closed.
            raise BrokenPipeError from error


class _PinnedTlsConnection(_PinnedConnection, HTTPSConnection):
    def connect(self) -> None:
        exchange = CURRENT.get()
        try:
            super().connect()
        except TimeoutError as error:
            raise Failed(Kind.TIMEOUT) from error
        except (OSError, ValueError) as error:
            detail = getattr(error, "verify_message", None) or getattr(error, "reason", None) or str(error)
            raise Failed(Kind.TLS, str(detail)) from error
        exchange.tls = exchange.elapsed()


class _Pool(HTTPConnectionPool):
    ConnectionCls = _PinnedConnection

    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange = CURRENT.get()
        connection: Any = super()._get_conn(timeout)
        if exchange.repeated:  # whatever else was kept may be just as dead
            connection.close()
        exchange.reused = not connection.is_closed
        if exchange.reused:
            exchange.address = connection.address
            exchange.hold(connection.sock)
        return connection


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _PinnedTlsConnection


POOLS = {"http": _Pool, "https": _TlsPool}
