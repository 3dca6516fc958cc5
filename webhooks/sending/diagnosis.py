"""Sending one request and watching every stage of it, for somebody who sets an endpoint up."""

from dataclasses import dataclass
from typing import Final

from webhooks.sending.addresses import AddressPolicy, BlockedAddress
from webhooks.sending.alone import send_alone
from webhooks.sending.inspecting import Handshake, inspect
from webhooks.sending.opening import open_transport
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request
from webhooks.sending.resolver import Resolution, Resolver

_INSPECTION_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The outcome of a request, and what lies behind it, as far as it came.

    `resolution` is what the name led to, `handshake` what the server showed. `trusted` says what the request made of
    that; None where it did not come so far.
    """

    outcome: Outcome
    resolution: Resolution | None = None
    handshake: Handshake | None = None
    trusted: bool | None = None


def diagnose(request: Request, *, transport: str, policy: AddressPolicy, resolver: Resolver | None = None) -> Diagnosis:
    """Send a request through the transport of that name and wait; the certificate may take 3 more seconds.

    Whatever is found was allowed by `policy`, or is not told. `resolver` is one to use instead of the system's.
    """
    resolver = resolver or Resolver(policy=policy)
    opened = open_transport(transport, capacity=1, policy=policy, resolver=resolver)
    try:
        outcome = send_alone(request, transport=opened)
        try:
            target = policy.target(request.url)
        except BlockedAddress:
            return Diagnosis(outcome)
        resolution = resolver.known(target)
    finally:
        opened.close()
    if target.scheme != "https" or outcome.address is None or outcome.kind is Kind.REFUSED:
        return Diagnosis(outcome, resolution)
    return Diagnosis(
        outcome,
        resolution,
        inspect(target, address=outcome.address, timeout=_INSPECTION_SECONDS),
        trusted=False if outcome.kind is Kind.TLS else (outcome.timing.tls is not None or None),
    )
