"""Sending one request, and waiting for what becomes of it."""

from collections.abc import Callable
from typing import Final

from webhooks.sending.outcome import Outcome
from webhooks.sending.request import Request
from webhooks.sending.transport import Transport

_LOOK_EVERY: Final = 0.2


def send_alone(request: Request, *, transport: Transport, look: Callable[[], object] = lambda: None) -> Outcome:
    """The outcome of a request through a transport that has no other in flight.

    `look` is called several times a second; whatever it raises ends the wait. The request is in flight until the
    caller closes the transport.
    """
    transport.submit(request)
    while True:
        look()
        for _, outcome in transport.poll(_LOOK_EVERY):
            return outcome
