import socket
from contextlib import suppress
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Final

from urllib3.util.wait import wait_for_socket

from webhooks.sending.outcome import Kind
from webhooks.sending.threaded_exchange import Failed, ThreadedExchange

_PIECE: Final = 64 * 1024
_NOT_YET: Final = (BlockingIOError, SSLWantReadError, SSLWantWriteError)


def open_socket(exchange: ThreadedExchange) -> socket.socket:
    """Resolve, judge and connect within the exchange's deadline; raises `Failed`.

    The addresses tried are the very ones that were judged; nothing resolves the name a second time in between.
    """
    known = exchange.resolver.known(exchange.target)
    resolution = known or exchange.resolver.resolve(exchange.target, timeout=exchange.time_left())
    if resolution is None:
        raise Failed(Kind.TIMEOUT, "its name was still being resolved")
    if known is None:
        exchange.dns = exchange.elapsed()
    if resolution.kind is not None:
        raise Failed(resolution.kind, resolution.error)
    failure = Failed(Kind.REFUSED)
    for index, address in enumerate(resolution.addresses):
        # An address that swallows packets leaves its successors their share of the time.
        share = exchange.time_left() / (len(resolution.addresses) - index)
        try:
            return _connect(exchange, address, timeout=share)
        except TimeoutError:
            failure = Failed(Kind.TIMEOUT)
        except OSError as error:
            failure = Failed(Kind.REFUSED, error.strerror or str(error))
    raise failure


def _connect(exchange: ThreadedExchange, address: str, *, timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        exchange.address = address
        exchange.hold(sock)
        sock.connect((address, exchange.target.port))
        exchange.connect = exchange.elapsed()
        sock.settimeout(exchange.time_left())
    except BaseException:
        sock.close()
        raise
    return sock


def send_until_answered(sock: socket.socket, data: bytes, exchange: ThreadedExchange) -> None:
    """Send within the exchange's deadline, or up to an early answer: whoever has answered may read no further.

    Where sending stalls, what has come in is taken; it is `exchange.early`, and the rest is not sent. That
    a socket is readable would not be enough: TLS has messages of its own.
    """
    left = memoryview(data)
    sock.setblocking(False)
    while left:
        with suppress(*_NOT_YET):
            left = left[sock.send(left[:_PIECE]) :]
            continue
        with suppress(*_NOT_YET):
            exchange.early = sock.recv(_PIECE)
            exchange.cut = True
            return
        wait_for_socket(sock, read=True, write=True, timeout=exchange.time_left())
