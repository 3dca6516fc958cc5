import os
import socket
from typing import Any, Final

import pycurl

from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.curl_faults import kind_of
from webhooks.sending.curl_options import CONSTANT, header_lines
from webhooks.sending.exchange import Exchange
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import WITHOUT_BODY, Request

_SENDS_CAP: Final = 2
_NOT_PUBLIC: Final = "its address is not a public one"  # which, is not told: see AddressPolicy.check_addresses


class CurlHandle:
    """One of libcurl's easy handles, set up once and used for one request after another.

    libcurl repeats a request by itself where the kept connection it was sent on ends before a first line of an answer
    has come, up to five times; an idle connection that closes while a request is under way looks just so. We let it
    repeat once and say so in the outcome (`repeated`). From the status line on, nothing is ever sent again.
    """

    def __init__(self, *, policy: AddressPolicy, ca_file: str) -> None:
        self._policy = policy
        self._exchange: Exchange | None = None
        self._loaded = 0.0
        self._sent = 0
        self._enough = False
        self._refusal = ""
        self.curl: Any = pycurl.Curl()
        for option, value in CONSTANT.items():
            self.curl.setopt(option, value)
        self.curl.setopt(pycurl.CAINFO, ca_file)
        self.curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        self.curl.setopt(pycurl.PREREQFUNCTION, self._before_sending)
        self.curl.setopt(pycurl.HEADERFUNCTION, self._take_line)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._take_body)

    def load(self, exchange: Exchange, addresses: tuple[str, ...]) -> None:
        """Prepare the handle for a request to a target whose permitted addresses are these."""
        self._exchange = exchange
        self._loaded = exchange.elapsed()
        self._sent = 0
        self._enough = False
        self._refusal = ""
        target, request, curl = exchange.target, exchange.request, self.curl
        host, *pinned = (f"[{name}]" if ":" in name else name for name in (target.host, *addresses))
        curl.setopt(pycurl.URL, target.url)
        # "+": the entry may age in libcurl's cache, it is written anew for each request.
        curl.setopt(pycurl.RESOLVE, [f"+{host}:{target.port}:{','.join(pinned)}"])
        curl.setopt(pycurl.HTTPHEADER, header_lines(request.headers))
        self._set_method(request)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, int(exchange.remaining() * 1000)))  # 0 would mean for ever

    def _set_method(self, request: Request) -> None:
        """Set every option on which libcurl's method hangs: the handle still has those of its last request."""
        if request.method in WITHOUT_BODY:
            self.curl.setopt(pycurl.HTTPGET, 1)
            self.curl.setopt(pycurl.NOBODY, request.method == "HEAD")
        else:
            self.curl.setopt(pycurl.POST, 1)
            self.curl.setopt(pycurl.POSTFIELDS, request.body)
        self.curl.setopt(pycurl.CUSTOMREQUEST, request.method)

    def unload(self, error: int, message: str) -> tuple[Exchange, Outcome]:
        """Answer what was loaded, and what became of it by libcurl's verdict."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            raise RuntimeError("A handle ended without having been loaded.")
        self._note_connection(exchange)
        if error == 0 or self._enough:
            return exchange, exchange.end()
        if exchange.answer.fault:
            return exchange, exchange.fail(Kind.PROTOCOL, exchange.answer.fault)
        if self._sent > _SENDS_CAP:
            return exchange, exchange.fail(Kind.DISCONNECTED)
        if self._refusal:
            return exchange, exchange.fail(Kind.BLOCKED, self._refusal)
        return exchange, exchange.fail(*kind_of(error, message, os_error=self.curl.getinfo(pycurl.OS_ERRNO)))

    def _note_connection(self, exchange: Exchange) -> None:
        curl = self.curl
        if not curl.getinfo(pycurl.NUM_CONNECTS):
            return
        if connect := curl.getinfo(pycurl.CONNECT_TIME):
            exchange.connect = self._loaded + connect * 1000
        if tls := curl.getinfo(pycurl.APPCONNECT_TIME):
            exchange.tls = self._loaded + tls * 1000

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        """Decide at the socket, on the address that is about to be connected, for every new connection.

        The set was judged when the name was resolved, and libcurl resolves nothing by itself: this gate is the one
        that would hold if either were wrong.
        """
        family, kind, protocol, where = address
        if not self._policy.permits(where[0]):
            self._refusal = _NOT_PUBLIC
            return pycurl.SOCKET_BAD
        if self._exchange is not None:
            self._exchange.address = where[0]
        return _Descriptor(socket.socket(family, kind, protocol).detach())

    def _before_sending(self, address: str, _own: str, _port: int, _own_port: int) -> int:
        """Decide once more, with a connection ready and nothing sent: for kept connections, and repeated sends."""
        exchange = self._exchange
        if exchange is None or not self._policy.permits(address):
            self._refusal = _NOT_PUBLIC
            return int(pycurl.PREREQFUNC_ABORT)
        self._sent += 1
        if self._sent > _SENDS_CAP:
            return int(pycurl.PREREQFUNC_ABORT)
        exchange.repeated = self._sent > 1
        exchange.address = address
        return int(pycurl.PREREQFUNC_OK)

    def _take_line(self, line: bytes) -> int | None:
        exchange = self._exchange
        if exchange is None:
            return -1
        if exchange.first_byte is None:
            exchange.first_byte = exchange.elapsed()
        return None if exchange.answer.take_line(line) else -1

    def _take_body(self, piece: bytes) -> int | None:
        if self._exchange is not None and self._exchange.answer.take_body(piece):
            return None
        self._enough = True
        return -1  # ends the transfer and closes the connection


class _Descriptor:
    """A descriptor that pycurl duplicates; the original ends with this object, silently, as a socket's would not."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        os.close(self._fd)
