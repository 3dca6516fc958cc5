from typing import Protocol
from uuid import UUID

from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request


class Transport(Protocol):
    """What puts requests on the wire.

    It belongs to one thread, the one that submits and polls, and to the process that opened it: not to its forks.
    Only `wake` may be called by others.

    `capacity` is the most that may be in flight; a request is in flight from `submit` until `poll` has handed out its
    outcome. A transport may have less capacity than it was asked for.
    """

    capacity: int

    @property
    def in_flight(self) -> int: ...

    def submit(self, request: Request) -> None:
        """Take a request, at once; whatever is wrong with it comes back as its outcome.

        Raises `TransportFull` when `in_flight` has reached `capacity`, which is the caller's error.
        """

    def poll(self, timeout: float) -> list[tuple[UUID, Outcome]]:
        """Wait up to `timeout` seconds for an outcome, and answer all there are, possibly none."""

    def wake(self) -> None:
        """End a wait in `poll`; from any thread. Where nobody waits, the next `poll` does not."""

    def close(self) -> None:
        """Cut every connection. What was in flight has no outcome: it may or may not have been delivered."""


class TransportFull(RuntimeError):
    """A request was submitted while as many were in flight as the transport holds, or after it was closed."""
