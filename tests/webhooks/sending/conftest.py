import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.webhooks.sending.names import NameServer
from tests.webhooks.sending.senders import LOOPBACK, Opener, Send, sender
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.opening import open_transport
from webhooks.sending.resolver import Resolver
from webhooks.sending.transport import Transport


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
def names() -> Iterator[NameServer]:
    """The name server of the test's transport."""
    with NameServer().serving() as names:
        yield names


@pytest.fixture(params=["curl", "requests"])
def opener(request: pytest.FixtureRequest, roots: Path, names: NameServer) -> Iterator[Opener]:
    with contextlib.ExitStack() as opened:

        def start(*, policy: AddressPolicy = LOOPBACK, capacity: int = 64) -> Transport:
            resolver = Resolver(policy=policy, name_servers=[names.address])
            transport = open_transport(
                request.param, capacity=capacity, policy=policy, resolver=resolver, ca_file=str(roots)
            )
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
