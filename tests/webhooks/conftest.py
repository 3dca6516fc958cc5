from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings

from jobs.leases import ProcessLease
from tests.conftest import Clock, Tenant
from tests.receiver import Receiver
from tests.webhooks.sending.peers import Behaviour, Peer
from tests.webhooks.sending.senders import Serve
from webhooks.delivering import Sender
from webhooks.models import Webhook
from webhooks.policy import RetryPolicy
from webhooks.sending.opening import open_transport
from webhooks.sending.transport import Transport
from webhooks.tasks import address_policy


@pytest.fixture
def webhook(tenant: Tenant, receiver: Receiver) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url=receiver.url)[0]


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = open_transport("curl", capacity=20, policy=address_policy())
    yield transport
    transport.close()


@pytest.fixture
def sender(lease: ProcessLease, transport: Transport, clock: Clock) -> Callable[..., Sender]:
    """Makes the delivery loop of this process, with a clock that the test moves."""

    def make(**changes: Any) -> Sender:
        parts: dict[str, Any] = {
            "process": lambda: lease.process_id,
            "transport": transport,
            "policy": RetryPolicy(settings.WEBHOOK_RETRY_SCHEDULE),
            "timeout": 5.0,
            "slots": 50,
            "clock": clock,
            "stopping": lambda: False,
        }
        return Sender(**(parts | changes))

    return make


@pytest.fixture(params=["curl", "requests"])
def transport_name(request: pytest.FixtureRequest, settings: Any) -> str:
    """By either of the transports."""
    settings.WEBHOOK_TRANSPORT = request.param
    return str(request.param)


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as peers:

        def start(behaviour: Behaviour, **changes: Any) -> Peer:
            return peers.enter_context(Peer(behaviour, **changes).serving())

        yield start
