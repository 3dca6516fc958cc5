import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from socket import SOCK_STREAM
from time import monotonic
from typing import Any, Final

import pycares

from webhooks.sending.addresses import AddressPolicy, BlockedAddress
from webhooks.sending.outcome import Kind
from webhooks.sending.target import Target

KEPT: Final = 30.0
"""Seconds a resolved name is used for without asking c-ares again, which then follows the record's time to live."""

KEPT_FAILURE: Final = 3.0
"""Seconds a failure is repeated for, so that a dead name costs one look-up and not one for each delivery."""

_RENEWED: Final = 60.0
"""Seconds after which c-ares starts anew: by itself it believes for an hour that a record is missing."""

_NAMES_CAP: Final = 10_000
_TRIES: Final = 3
_FIRST_TRY: Final = 1.5  # seconds; each further try waits twice as long, so a look-up ends within 10.5


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

    c-ares asks for all names at once, in one thread, each within its own time: names whose servers are dead keep no
    other name waiting, as they do where each look-up blocks a thread (getaddrinfo). It reads /etc/hosts and
    /etc/resolv.conf, but a name is taken as it stands: no search domain of ours is put behind it.

    The whole answer set is judged here, once; what connects is pinned to what was judged, and never resolves again.
    """

    def __init__(self, *, policy: AddressPolicy, name_servers: Sequence[str] = ()) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Resolution]] = {}  # oldest first
        self._asking: dict[str, list[Told]] = {}
        self._closed = False
        self._name_servers = list(name_servers) or None
        self._channel = self._open_channel()

    def known(self, target: Target) -> Resolution | None:
        """Answer at once where that is possible: an address in the URL, or a name resolved lately."""
        if target.literal:
            return self._judge(target.host, (target.host,))
        entry = self._known.get(target.host)
        return entry[1] if entry is not None and entry[0] > monotonic() else None

    def look_up(self, target: Target, tell: Told) -> None:
        """Resolve a name; `tell` is called once, at once or in c-ares' thread. Equal names share a look-up."""
        host = target.host
        with self._lock:
            closed = self._closed
            if not closed:
                self._asking.setdefault(host, []).append(tell)
                if len(self._asking[host]) > 1:
                    return
                if monotonic() > self._renew_at:  # the old one ends with its last look-up
                    self._channel = self._open_channel()
        if closed:
            tell(_CLOSED)
            return
        # Not under our lock: c-ares holds one of its own here as well as around `_take`, which takes ours.
        with contextlib.suppress(RuntimeError):  # closed meanwhile, and everybody has been told
            self._channel.getaddrinfo(host, None, type=SOCK_STREAM, callback=partial(self._take, host))

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
        """Tell those who wait, and let all look-ups go."""
        with self._lock:
            self._closed = True
            waiting = [tell for tells in self._asking.values() for tell in tells]
            self._asking.clear()
        self._channel.close()
        for tell in waiting:
            tell(_CLOSED)

    def _open_channel(self) -> pycares.Channel:
        self._renew_at = monotonic() + _RENEWED
        return pycares.Channel(
            flags=pycares.ARES_FLAG_NOSEARCH, timeout=_FIRST_TRY, tries=_TRIES, servers=self._name_servers
        )

    def _take(self, host: str, answer: Any, error: int | None) -> None:
        """Take c-ares' answer, judge it, and pass it on."""
        if error is None:
            resolution = self._judge(host, tuple(dict.fromkeys(_text(node.addr[0]) for node in answer.nodes)))
        else:
            resolution = Resolution((), Kind.DNS, _text(pycares.errno.strerror(error)))
        kept = KEPT if resolution.kind is None else KEPT_FAILURE
        with self._lock:
            if self._closed:
                return
            self._known.pop(host, None)
            self._known[host] = (monotonic() + kept, resolution)
            if len(self._known) > _NAMES_CAP:
                del self._known[next(iter(self._known))]
            waiting = self._asking.pop(host, [])
        for tell in waiting:
            tell(resolution)

    def _judge(self, host: str, addresses: tuple[str, ...]) -> Resolution:
        try:
            self._policy.check_addresses(host, addresses)
        except BlockedAddress as reason:
            return Resolution((), Kind.BLOCKED, str(reason))
        return Resolution(addresses)


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("ascii")
