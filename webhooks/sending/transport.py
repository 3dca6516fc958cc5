import logging
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request

logger = logging.getLogger(__name__)


class Transport(Protocol):
    """What puts requests on the wire.

    It belongs to one thread, the one that submits and polls, and to the process that opened it: not to its forks.

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

    def close(self) -> None:
        """Cut every connection. What was in flight has no outcome: it may or may not have been delivered."""


class TransportFull(RuntimeError):
    """A request was submitted while as many were in flight as the transport holds, or after it was closed."""


def open_transport(name: str, *, capacity: int, policy: AddressPolicy, ca_file: str | None = None) -> Transport:
    """Open the transport called `name` ("curl" or "requests"); raises ValueError for any other name.

    `ca_file` is a PEM file of the roots to trust instead of certifi's. Where pycurl cannot be imported, "curl" becomes
    "requests", with a warning: slower, and otherwise the same.
    """
    if name not in ("curl", "requests"):
        raise ValueError(f"WEBHOOK_TRANSPORT is {name!r}; it must be curl or requests")
    opened = _curl() if name == "curl" else None
    return (opened or _requests())(capacity=capacity, policy=policy, ca_file=ca_file)


def _curl() -> Callable[..., Transport] | None:
    try:
        from webhooks.sending.curl import CurlTransport  # noqa: PLC0415 - needs a C library that may be missing
    except ImportError as error:
        logger.warning("pycurl cannot be imported (%s): webhooks are sent through requests", error)
        return None
    return CurlTransport


def _requests() -> Callable[..., Transport]:
    from webhooks.sending.threaded import RequestsTransport  # noqa: PLC0415 - not needed where curl is

    return RequestsTransport
