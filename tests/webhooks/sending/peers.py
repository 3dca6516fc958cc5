"""Receivers for the tests: raw sockets, so that they can misbehave in every way a real one might."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


class Connection:
    """The receiver's end of one connection."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self._sock = sock
        self._buffer = b""
        self.stopped = stopped

    def head(self) -> bytes:
        """Read up to the end of a request's headers; empty when the sender has closed."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                return b""
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        return head + b"\r\n"

    def request(self) -> bytes:
        """Read a whole request; empty when the sender has closed."""
        head = self.head()
        if not head:
            return b""
        _, told, length_on = head.lower().partition(b"content-length:")
        length = int(length_on.split(b"\r\n")[0]) if told else 0
        while len(self._buffer) < length:
            if not self._receive():
                return b""
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return head + b"\r\n" + body

    def send(self, data: bytes) -> bool:
        """Send; False when the sender of the request has gone."""
        try:
            self._sock.sendall(data)
        except OSError:
            return False
        return True

    def wait_for_close(self) -> None:
        while self._receive():
            pass

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _receive(self) -> bool:
        try:
            data = self._sock.recv(65536)
        except OSError:
            return False
        self._buffer += data
        return bool(data)


Behaviour = Callable[[Connection], None]


@dataclass
class Peer:
    """A receiver that treats each connection, in a thread of its own, as its behaviour says."""

    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    address: str = "127.0.0.1"
    port: int = 0
    accepted: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)
    _open: list[Connection] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @contextlib.contextmanager
    def serving(self) -> Iterator["Peer"]:
        with socket.create_server((self.address, self.port), backlog=256) as listener:
            self.port = listener.getsockname()[1]
            acceptor = threading.Thread(target=self._accept, args=(listener,))
            acceptor.start()
            try:
                yield self
            finally:
                self.stopped.set()
                listener.shutdown(socket.SHUT_RDWR)
                acceptor.join()
                for connection in self._open:
                    connection.close()
                for thread in self._threads:
                    thread.join()

    def url(self, path: str = "/hook", *, host: str = "") -> str:
        return f"{'https' if self.tls else 'http'}://{host or self.address}:{self.port}{path}"

    def _accept(self, listener: socket.socket) -> None:
        while not self.stopped.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._treat, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _treat(self, sock: socket.socket) -> None:
        if self.tls is not None:
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:  # the sender did not like the certificate
                sock.close()
                return
        connection = Connection(sock, self.stopped)
        self._open.append(connection)
        try:
            self.behaviour(connection)
        finally:
            connection.close()


def answering(answer: bytes) -> Behaviour:
    """Give every request the same answer, on a connection kept open."""

    def behave(connection: Connection) -> None:
        while connection.request():
            connection.send(answer)

    return behave


def closing(answer: bytes) -> Behaviour:
    """Answer one request and close."""

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(answer)

    return behave


def status(line: str, *headers: str, body: bytes = b"") -> bytes:
    """Write an answer with its length."""
    lines = [f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


OK = status("200 OK", body=b"ok")
