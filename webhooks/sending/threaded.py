"""The transport without a C library of its own: requests, a thread for each request in flight."""

import logging
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Final
from uuid import UUID

import certifi
from requests import RequestException
from urllib3.exceptions import HTTPError

from webhooks.sending.addresses import AddressPolicy, BlockedAddress
from webhooks.sending.exchange import blocked
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.pinned_adapter import PinnedAdapter
from webhooks.sending.request import Request
from webhooks.sending.request_headers import MalformedHeader, check_headers
from webhooks.sending.resolver import Resolver
from webhooks.sending.threaded_exchange import CURRENT, Enough, Failed, ThreadedExchange
from webhooks.sending.transport import TransportFull

logger = logging.getLogger(__name__)

THREADS_CAP: Final = 64
"""The most requests in flight: beyond that, threads contend for the interpreter and send no faster."""


class RequestsTransport:
    """See `Transport`. Connections are shared by all threads and kept alive."""

    def __init__(self, *, capacity: int, policy: AddressPolicy, resolver: Resolver, ca_file: str | None = None) -> None:
        self.capacity = min(capacity, THREADS_CAP)
        self._policy = policy
        self._resolver = resolver
        context = ssl.create_default_context(cafile=ca_file or certifi.where())
        self._adapter = PinnedAdapter(context=context, connections=self.capacity)
        self._threads = ThreadPoolExecutor(self.capacity, thread_name_prefix="webhook-sender")
        self._lock = threading.Lock()
        self._flying: set[ThreadedExchange] = set()
        self._landed: SimpleQueue[tuple[UUID, Outcome] | None] = SimpleQueue()  # None wakes
        self._in_flight = 0
        self._closed = False

    @property
    def in_flight(self) -> int:
        return self._in_flight

    def submit(self, request: Request) -> None:
        if self._closed or self._in_flight >= self.capacity:
            raise TransportFull(f"{self._in_flight} requests are in flight, of {self.capacity}")
        self._in_flight += 1
        try:
            target = self._policy.target(request.url)
            check_headers(request.headers)
        except (BlockedAddress, MalformedHeader) as reason:
            self._landed.put((request.id, blocked(reason)))
            return
        exchange = ThreadedExchange(request, target, resolver=self._resolver)
        with self._lock:
            self._flying.add(exchange)
        self._threads.submit(self._fly, exchange)

    def poll(self, timeout: float) -> list[tuple[UUID, Outcome]]:
        landed: list[tuple[UUID, Outcome] | None] = []
        try:
            landed.append(self._landed.get(timeout=0 if self._closed else max(0.0, timeout)))
            while True:
                landed.append(self._landed.get_nowait())
        except Empty:
            pass
        if self._closed:
            return []
        outcomes = [each for each in landed if each is not None]
        self._in_flight -= len(outcomes)
        return outcomes

    def wake(self) -> None:
        self._landed.put(None)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._in_flight = 0
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            flying = list(self._flying)
        for exchange in flying:
            exchange.abort()
        self._resolver.close()
        self._threads.shutdown(wait=True)
        self._adapter.close()

    def _fly(self, exchange: ThreadedExchange) -> None:
        CURRENT.set(exchange)
        try:
            outcome = self._outcome(exchange)
        finally:
            exchange.release()
            with self._lock:
                self._flying.discard(exchange)
        self._landed.put((exchange.request.id, outcome))

    def _outcome(self, exchange: ThreadedExchange) -> Outcome:
        try:
            self._exchange(exchange)
        except Enough:
            return exchange.end()
        except Failed as failed:
            return exchange.fail(failed.kind, failed.detail)
        except (RequestException, HTTPError, OSError) as error:
            # Their messages show the path of the URL, which may carry a token: the type must do.
            return exchange.fail(Kind.PROTOCOL, type(error).__name__)
        except Exception as error:  # noqa: BLE001 - a surprise must still give the slot back
            logger.error("A webhook request ended in a surprise: %s", type(error).__name__)  # noqa: TRY400 - see above
            return exchange.fail(Kind.PROTOCOL, f"unexpected {type(error).__name__}")
        return exchange.end()

    def _exchange(self, exchange: ThreadedExchange) -> None:
        try:
            self._adapter.exchange(exchange)
        except Failed as failed:
            if not exchange.may_repeat(failed):
                raise
            exchange.repeated, exchange.cut = True, False
            self._adapter.exchange(exchange)
