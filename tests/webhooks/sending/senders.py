"""How the tests send: one request or many, through the transport's own interface."""

from collections.abc import Callable
from ipaddress import ip_network
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

from tests.webhooks.sending.peers import Peer
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request
from webhooks.sending.transport import Transport

LOOPBACK = AddressPolicy(allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), allow_http=True)
HEADERS = {"Content-Type": "application/json", "webhook-id": "msg_1", "webhook-signature": "v1,c2lnbmF0dXJl"}
PATIENCE = 20.0

Serve = Callable[..., Peer]


class Opener(Protocol):
    def __call__(self, *, policy: AddressPolicy = LOOPBACK, capacity: int = 64) -> Transport: ...


class Send(Protocol):
    def __call__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes = b"{}",
        timeout: float = 5.0,
        **others: Any,
    ) -> Outcome: ...


def sender(transport: Transport) -> Send:
    def send(
        url: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}", timeout: float = 5.0, **others: Any
    ) -> Outcome:
        request = make(url, headers=headers, body=body, timeout=timeout, **others)
        transport.submit(request)
        outcomes = collect(transport, 1)
        return outcomes[request.id]

    return send


def make(
    url: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}", timeout: float = 5.0, **others: Any
) -> Request:
    return Request(uuid4(), url, HEADERS if headers is None else headers, body, timeout, **others)


def collect(transport: Transport, count: int) -> dict[object, Outcome]:
    """Poll until so many outcomes are there."""
    outcomes: dict[object, Outcome] = {}
    until = monotonic() + PATIENCE
    while len(outcomes) < count:
        assert monotonic() < until, f"only {len(outcomes)} of {count} outcomes came"
        outcomes.update(transport.poll(0.5))
    return outcomes
