"""The default transport: libcurl's multi interface, one thread, hundreds of requests on the wire."""

from queue import Empty, SimpleQueue
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID

import certifi

from webhooks.sending.addresses import AddressPolicy, BlockedAddress
from webhooks.sending.curl_handle import CurlHandle
from webhooks.sending.curl_loop import CurlLoop
from webhooks.sending.exchange import Exchange, blocked
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request
from webhooks.sending.request_headers import MalformedHeader, check_headers
from webhooks.sending.resolver import Resolution, Resolver
from webhooks.sending.transport import TransportFull


class CurlTransport:
    """See `Transport`. A request waits for its name (`_waiting`), flies (`_flying`) and lands (`_landed`)."""

    def __init__(self, *, capacity: int, policy: AddressPolicy, resolver: Resolver, ca_file: str | None = None) -> None:
        self.capacity = capacity
        self._policy = policy
        self._ca_file = ca_file or certifi.where()
        self._resolver = resolver
        self._loop = CurlLoop(connections=capacity)
        self._idle: list[CurlHandle] = []
        self._waiting: set[Exchange] = set()
        self._resolved: SimpleQueue[tuple[Exchange, Resolution]] = SimpleQueue()
        self._flying: dict[Any, CurlHandle] = {}
        self._landed: list[tuple[UUID, Outcome]] = []
        self._woken = Event()
        self._closed = False

    @property
    def in_flight(self) -> int:
        return len(self._waiting) + len(self._flying) + len(self._landed)

    def submit(self, request: Request) -> None:
        if self._closed or self.in_flight >= self.capacity:
            raise TransportFull(f"{self.in_flight} requests are in flight, of {self.capacity}")
        try:
            target = self._policy.target(request.url)
            check_headers(request.headers)
        except (BlockedAddress, MalformedHeader) as reason:
            self._landed.append((request.id, blocked(reason)))
            return
        exchange = Exchange(request, target)
        if resolution := self._resolver.known(target):
            self._launch(exchange, resolution)
        else:
            self._waiting.add(exchange)
            self._resolver.look_up(target, lambda resolution: self._tell(exchange, resolution))

    def poll(self, timeout: float) -> list[tuple[UUID, Outcome]]:
        until = monotonic() + timeout
        while not self._closed:
            self._take_resolved()
            now = monotonic()
            self._loop.step(0.0 if self._landed else min(until, self._first_deadline(until)) - now)
            self._take_finished()
            if self._landed or now >= until or self._woken.is_set():
                break
        self._woken.clear()
        landed, self._landed = self._landed, []
        return landed

    def wake(self) -> None:
        self._woken.set()
        self._loop.wake()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._resolver.close()
        for curl in self._flying:
            self._loop.remove(curl)
        for handle in (*self._flying.values(), *self._idle):
            handle.curl.close()
        self._waiting.clear()
        self._flying.clear()
        self._idle.clear()
        self._landed.clear()
        self._loop.close()

    def _tell(self, exchange: Exchange, resolution: Resolution) -> None:
        """Hand a resolution over from a thread of the resolver."""
        self._resolved.put((exchange, resolution))
        self._loop.wake()

    def _take_resolved(self) -> None:
        while True:
            try:
                exchange, resolution = self._resolved.get_nowait()
            except Empty:
                break
            if exchange in self._waiting:  # else its deadline has passed
                self._waiting.discard(exchange)
                exchange.dns = exchange.elapsed()
                self._launch(exchange, resolution)
        late = [exchange for exchange in self._waiting if exchange.remaining() <= 0]
        for exchange in late:
            self._waiting.discard(exchange)
            self._land(exchange, exchange.fail(Kind.TIMEOUT, "its name was still being resolved"))

    def _first_deadline(self, default: float) -> float:
        """When a name becomes too late; all other deadlines are libcurl's."""
        return min((exchange.started + exchange.request.timeout for exchange in self._waiting), default=default)

    def _launch(self, exchange: Exchange, resolution: Resolution) -> None:
        if resolution.kind is not None:
            self._land(exchange, exchange.fail(resolution.kind, resolution.error))
            return
        handle = self._idle.pop() if self._idle else CurlHandle(policy=self._policy, ca_file=self._ca_file)
        handle.load(exchange, resolution.addresses)
        self._flying[handle.curl] = handle
        self._loop.add(handle.curl)

    def _take_finished(self) -> None:
        for curl, error, message in self._loop.finished():
            handle = self._flying.pop(curl)
            self._land(*handle.unload(error, message))
            self._loop.remove(curl)
            self._idle.append(handle)

    def _land(self, exchange: Exchange, outcome: Outcome) -> None:
        self._landed.append((exchange.request.id, outcome))
