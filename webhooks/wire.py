"""The wire: a transport driven by a thread of its own, so that requests go on while their sender is at the database."""

import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self
from uuid import UUID

from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request
from webhooks.sending.transport import Transport

GATHER = 0.005
"""Seconds for which outcomes are gathered: one by one, each would cost a change of threads."""

Landed = list[tuple[UUID, Outcome]]


class Wire:
    """Hands requests to a transport and takes outcomes from it. One thread uses it; the transport's stays inside.

    `capacity` is the transport's, and `in_flight` must not pass it.
    """

    def __init__(self, transport: Transport) -> None:
        self.capacity = transport.capacity
        self.in_flight = 0
        self._transport = transport
        self._outbox: SimpleQueue[Request] = SimpleQueue()
        self._landed: SimpleQueue[Landed | BaseException] = SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Let go of the transport. What is in flight stays there; whoever needs its outcomes polls until none is."""
        self._ended = True
        self._transport.wake()
        self._thread.join()

    def submit(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self.in_flight += 1
            self._outbox.put(request)
        self._transport.wake()

    def poll(self, timeout: float) -> Landed:
        """Wait up to `timeout` seconds for an outcome, and answer all there are; raises what ended the transport."""
        outcomes: Landed = []
        try:
            landed = self._landed.get(timeout=max(timeout, 0)) if timeout > 0 else self._landed.get_nowait()
            while True:
                if isinstance(landed, BaseException):
                    if not outcomes:
                        raise landed
                    self._landed.put(landed)  # what came home before it counts
                    break
                outcomes += landed
                landed = self._landed.get_nowait()
        except Empty:
            pass
        self.in_flight -= len(outcomes)
        return outcomes

    def _run(self) -> None:
        gathered: Landed = []
        until = 0.0
        try:
            while not self._ended or gathered:
                self._submit()
                landed = self._transport.poll(max(0.0, until - time.monotonic()) if gathered else 60)
                if landed and not gathered:
                    until = time.monotonic() + GATHER
                gathered += landed
                if gathered and (self._ended or time.monotonic() >= until):
                    self._landed.put(gathered)
                    gathered = []
        except BaseException as error:  # noqa: BLE001  raised where it can be handled
            self._landed.put(error)

    def _submit(self) -> None:
        try:
            while True:
                self._transport.submit(self._outbox.get_nowait())
        except Empty:
            pass
