"""Free TCP ports of the loopback address."""

import socket
from collections.abc import Container

LOOPBACK = "127.0.0.1"


class NoFreePort(Exception):
    """Not one port from the wanted one upwards is free."""


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that linger are no hindrance
        try:
            probe.bind((LOOPBACK, port))
        except OSError:  # taken, or reserved for root
            return False
        return True


def answers(port: int) -> bool:
    """Whether something listens on it."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def first_free(wanted: int, *, spoken_for: Container[int] = ()) -> int:
    """The wanted port, or the next one above it that is free."""
    for port in range(wanted, 65536):
        if port not in spoken_for and is_free(port):
            return port
    raise NoFreePort(f"No port from {wanted} to 65535 is free on {LOOPBACK}: choose a lower one.")
