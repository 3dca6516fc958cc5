"""What an endpoint's owner is told: what happened, and what to do about it."""

from typing import Final

from webhooks.sending.outcome import Kind

_ADVICE: Final = {
    Kind.TIMEOUT: "The endpoint has to answer within that time: let it take the event, answer, and do long work later.",
    Kind.DNS: "Check the spelling of the host, and its DNS records.",
    Kind.REFUSED: "Check that the server is up, listens on this port, and lets HyreLog through its firewall.",
    Kind.TLS: (
        "Check that its certificate is for this host, has not expired, is sent with its intermediate certificates and "
        "comes from an authority browsers trust, and that the server speaks TLS 1.2 or newer on this port."
    ),
    Kind.BLOCKED: "Webhooks are sent to public addresses only.",
    Kind.PROTOCOL: "Check that an HTTP server, and not something else, listens on this port.",
    Kind.DISCONNECTED: "Look into the logs of the endpoint, and of any proxy before it, for why.",
}
_STATUSES: Final = {
    401: "Check the credentials this webhook sends.",
    403: "Check the credentials this webhook sends, and that the endpoint's firewall lets HyreLog through.",
    404: "Check the path of the URL.",
    405: "Check that the endpoint takes POST.",
    410: "The endpoint says that it is gone for good.",
    413: "Let the endpoint, and any proxy before it, take larger bodies.",
    429: "It asks for fewer requests: set a rate limit for this webhook, or raise the endpoint's own.",
}


def advice(kind: Kind) -> str:
    """What to do about a failure that left no complete answer."""
    return _ADVICE[kind]


def without_advice(error: str, kind: Kind, *, status: int | None) -> str:
    """What happened, taken from the error of an outcome: for somebody who sent something else than a webhook."""
    advised = advice_on_status(status) if kind is Kind.REJECTED and status else _ADVICE.get(kind, "")
    return error.removesuffix(advised).rstrip()


def advice_on_status(status: int) -> str:
    """What to do about an answer that is no success."""
    if 300 <= status < 400:
        return "It is a redirect, and redirects are not followed: give this webhook the final URL."
    return _STATUSES.get(status, "Look into the logs of the endpoint for why.")
