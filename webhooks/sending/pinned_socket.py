import socket

from webhooks.sending.outcome import Kind
from webhooks.sending.threaded_exchange import Failed, ThreadedExchange


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
