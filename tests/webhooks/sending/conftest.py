import contextlib
import ssl
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from time import monotonic
from typing import Protocol
from uuid import uuid4

import pytest
import trustme

from tests.webhooks.sending.peers import Behaviour, Peer
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request
from webhooks.sending.transport import Transport, open_transport

LOOPBACK = AddressPolicy(allowed_networks=(ip_network("127.0.0.0/8"), ip_network("::1/128")), allow_http=True)
HEADERS = {"Content-Type": "application/json", "webhook-id": "msg_1", "webhook-signature": "v1,c2lnbmF0dXJl"}
PATIENCE = 20.0

Serve = Callable[..., Peer]


class Opener(Protocol):
    def __call__(self, *, policy: AddressPolicy = LOOPBACK, capacity: int = 64) -> Transport: ...


class Send(Protocol):
    def __call__(
        self, url: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}", timeout: float = 5.0
    ) -> Outcome: ...


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def roots(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("roots") / "roots.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def certified(authority: trustme.CA) -> ssl.SSLContext:
    """A server's TLS with a certificate for localhost and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as peers:

        def start(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> Peer:
            return peers.enter_context(Peer(behaviour, tls).serving())

        yield start


@pytest.fixture(params=["curl", "requests"])
def opener(request: pytest.FixtureRequest, roots: Path) -> Iterator[Opener]:
    with contextlib.ExitStack() as opened:

        def start(*, policy: AddressPolicy = LOOPBACK, capacity: int = 64) -> Transport:
            transport = open_transport(request.param, capacity=capacity, policy=policy, ca_file=str(roots))
            opened.callback(transport.close)
            return transport

        yield start


@pytest.fixture
def transport(opener: Opener) -> Transport:
    return opener()


@pytest.fixture
def send(transport: Transport) -> Send:
    """Send one request and wait for its outcome."""
    return sender(transport)


def sender(transport: Transport) -> Send:
    def send(url: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}", timeout: float = 5.0) -> Outcome:
        request = make(url, headers=headers, body=body, timeout=timeout)
        transport.submit(request)
        outcomes = collect(transport, 1)
        return outcomes[request.id]

    return send


def make(url: str, *, headers: dict[str, str] | None = None, body: bytes = b"{}", timeout: float = 5.0) -> Request:
    return Request(uuid4(), url, HEADERS if headers is None else headers, body, timeout)


def collect(transport: Transport, count: int) -> dict[object, Outcome]:
    """Poll until so many outcomes are there."""
    outcomes: dict[object, Outcome] = {}
    until = monotonic() + PATIENCE
    while len(outcomes) < count:
        assert monotonic() < until, f"only {len(outcomes)} of {count} outcomes came"
        outcomes.update(transport.poll(0.5))
    return outcomes
