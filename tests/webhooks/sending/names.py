"""A real name server for the tests, on a port of its own, that answers, lies, changes its mind or says nothing."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

A: Final = 1
CNAME: Final = 5
AAAA: Final = 28
NXDOMAIN: Final = 3
SERVFAIL: Final = 2
SILENCE: Final = -1

Answer = Sequence[str] | int
"""Addresses (and `=name` for an alias); or a response code; or SILENCE."""


@dataclass
class NameServer:
    """Answers for the names in `zone`, NXDOMAIN for any other, with a time to live of 0.

    What is not fixed is asked at each question about IPv4; it has no IPv6 addresses.
    """

    zone: dict[str, Answer | Callable[[], Answer]] = field(default_factory=dict)
    address: str = ""
    asked: list[str] = field(default_factory=list)
    """The names that were asked for, once for each question about IPv4."""

    @contextlib.contextmanager
    def serving(self) -> Iterator["NameServer"]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{sock.getsockname()[1]}"
            thread = threading.Thread(target=self._serve, args=(sock,))
            thread.start()
            try:
                yield self
            finally:
                sock.sendto(b"", sock.getsockname())
                thread.join()

    def _serve(self, sock: socket.socket) -> None:
        while True:
            query, client = sock.recvfrom(4096)
            if not query:
                return
            if (answer := self._answer(query)) is not None:
                sock.sendto(answer, client)

    def _answer(self, query: bytes) -> bytes | None:
        """One answer (RFC 1035, 4.1), the question given back as it came, letter case included."""
        labels, end = [], 12
        while length := query[end]:
            labels.append(query[end + 1 : end + 1 + length].decode().lower())
            end += 1 + length
        kind, name = struct.unpack_from("!H", query, end + 1)[0], ".".join(labels)
        if kind == A:
            self.asked.append(name)
        told = self.zone.get(name, NXDOMAIN)
        if callable(told):
            told = told() if kind == A else ()
        if told == SILENCE:
            return None
        code, told = (told, ()) if isinstance(told, int) else (0, told)
        records = [record for text in told if (record := _record(text, kind))]
        counts = struct.pack("!HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return b"".join((query[:2], counts, query[12 : end + 5], *records))


def _record(text: str, kind: int) -> bytes:
    if text.startswith("="):
        data, own = b"".join(bytes([len(label)]) + label.encode() for label in text[1:].split(".")) + b"\0", CNAME
    else:
        address = ip_address(text)
        data, own = address.packed, A if address.version == 4 else AAAA
        if own != kind:
            return b""
    return b"\xc0\x0c" + struct.pack("!HHIH", own, 1, 0, len(data)) + data
