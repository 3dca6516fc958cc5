import logging
from collections.abc import Callable

from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.resolver import Resolver
from webhooks.sending.transport import Transport

logger = logging.getLogger(__name__)


def open_transport(
    name: str, *, capacity: int, policy: AddressPolicy, resolver: Resolver | None = None, ca_file: str | None = None
) -> Transport:
    """Open the transport called `name` ("curl" or "requests"); raises ValueError for any other name.

    `resolver` is one that the transport shall use, and close, instead of one of its own; `ca_file` is a PEM file of the
    roots to trust instead of certifi's. Where pycurl cannot be imported, "curl" becomes
    "requests", with a warning: slower, and otherwise the same.
    """
    if name not in ("curl", "requests"):
        raise ValueError(f"WEBHOOK_TRANSPORT is {name!r}; it must be curl or requests")
    opened = _curl() if name == "curl" else None
    return (opened or _requests())(
        capacity=capacity, policy=policy, resolver=resolver or Resolver(policy=policy), ca_file=ca_file
    )


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
