from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from jobs.leases import ProcessLease
from tests.conftest import Clock, Tenant
from tests.receiver import Receiver
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
