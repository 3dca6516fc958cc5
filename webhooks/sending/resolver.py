import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

from webhooks.sending.addresses import AddressPolicy, BlockedAddress
from webhooks.sending.outcome import Kind
from webhooks.sending.target import Target

KEPT: Final = 30.0
"""Seconds a resolved name is used for: getaddrinfo tells no time to live, and a receiver may move."""

KEPT_FAILURE: Final = 3.0
"""Seconds a failure is repeated for, so that a dead name costs one look-up and not one for each delivery."""

_NAMES_CAP: Final = 10_000
_THREADS_CAP: Final = 32


@dataclass(frozen=True, slots=True)
class Resolution:
    """All addresses of a name, already found permitted; or none, and why: `kind` is DNS or BLOCKED."""

    addresses: tuple[str, ...]
    kind: Kind | None = None
    error: str = ""


_CLOSED: Final = Resolution((), Kind.DNS, "the sender is closing")

Told = Callable[[Resolution], None]


class Resolver:
    """Names to permitted addresses, away from the threads that send.

    The system's resolver (getaddrinfo) runs in up to 32 daemon threads: it cannot be interrupted, so nobody joins it,
    at close or at exit. The whole answer set is judged here, once; what connects is pinned to what was judged, and
    never resolves again.
    """

    def __init__(self, *, policy: AddressPolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Resolution]] = {}  # oldest first
        self._asking: dict[str, list[Told]] = {}
        self._names: SimpleQueue[str | None] = SimpleQueue()
        self._threads = 0
        self._closed = False

    def known(self, target: Target) -> Resolution | None:
        """Answer at once where that is possible: an address in the URL, or a name resolved lately."""
        if target.literal:
            return self._judge(target.host, (target.host,))
        entry = self._known.get(target.host)
        return entry[1] if entry is not None and entry[0] > monotonic() else None

    def look_up(self, target: Target, tell: Told) -> None:
        """Resolve a name; `tell` is called once, in a thread of the resolver. Equal names share a look-up."""
        with self._lock:
            if self._closed:
                tell(_CLOSED)
                return
            waiting = self._asking.setdefault(target.host, [])
            waiting.append(tell)
            if len(waiting) > 1:
                return
            if len(self._asking) > self._threads and self._threads < _THREADS_CAP:
                self._threads += 1
                threading.Thread(target=self._serve, name="webhook-resolver", daemon=True).start()
        self._names.put(target.host)

    def resolve(self, target: Target, *, timeout: float) -> Resolution | None:
        """Resolve and wait; None when `timeout` seconds pass first."""
        if resolution := self.known(target):
            return resolution
        told: SimpleQueue[Resolution] = SimpleQueue()
        self.look_up(target, told.put)
        try:
            return told.get(timeout=max(0.0, timeout))
        except Empty:
            return None

    def close(self) -> None:
        """Tell those who wait, and let the threads end, each after the look-up it is in."""
        with self._lock:
            self._closed = True
            waiting = [tell for tells in self._asking.values() for tell in tells]
            self._asking.clear()
        for _ in range(self._threads):
            self._names.put(None)
        for tell in waiting:
            tell(_CLOSED)

    def _serve(self) -> None:
        while (host := self._names.get()) is not None:
            resolution = self._ask(host)
            kept = KEPT if resolution.kind is None else KEPT_FAILURE
            with self._lock:
                self._known.pop(host, None)
                self._known[host] = (monotonic() + kept, resolution)
                if len(self._known) > _NAMES_CAP:
                    del self._known[next(iter(self._known))]
                waiting = self._asking.pop(host, [])
            for tell in waiting:
                tell(resolution)

    def _ask(self, host: str) -> Resolution:
        try:
            # Without AI_ADDRCONFIG: it would hide half of the set that has to be judged as a whole.
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return Resolution((), Kind.DNS, str(getattr(error, "strerror", None) or error))
        return self._judge(host, tuple(dict.fromkeys(str(answer[4][0]) for answer in answers)))

    def _judge(self, host: str, addresses: tuple[str, ...]) -> Resolution:
        try:
            self._policy.check_addresses(host, addresses)
        except BlockedAddress as reason:
            return Resolution((), Kind.BLOCKED, str(reason))
        return Resolution(addresses)
