"""Sending the request of a job, and telling what came of it."""

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from audit.text import storable
from jobs.context import JobContext, Retryable, Unrecoverable
from webhooks.requesting.payload import HttpRequest
from webhooks.sending.alone import send_alone
from webhooks.sending.opening import open_transport
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request
from webhooks.sending.sentences import without_advice
from webhooks.sending.transport import Transport
from webhooks.tasks import address_policy

REQUEST: Final = "http.request"
KEPT: Final = 64 * 1024
"""Bytes of the answer's body, decoded, that are kept in the result."""
LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds for which a receiver can have the next attempt put off."""

_MAY_BE_MENDED: Final = (408, 425, 429)  # beside all of 5xx
_SHOWN: Final = re.compile(
    r"content-(type|length|language|location|range)|date|etag|last-modified|expires|cache-control|age|link|location"
    r"|retry-after|server|vary|allow|(x-)?request-id|x-correlation-id|(x-)?ratelimit-.*|deprecation|sunset"
)


def request(context: JobContext, asked: HttpRequest) -> dict[str, Any]:
    """Send the request and answer what came of it.

    Raises Unrecoverable and Retryable for a failure, and Stopped within a moment of the handler's being told.
    """
    # The same on every attempt, and its number: by these a receiver recognises a repetition.
    ours = {"HyreLog-Job-Id": str(context.job.id), "HyreLog-Attempt": str(context.attempt)}
    sent = Request(
        id=uuid.uuid4(),
        url=asked.url,
        headers={**asked.content_headers, **ours, **asked.headers},
        body=asked.content,
        timeout=asked.timeout_seconds,
        method=asked.method,
        keep=KEPT + 1,
    )
    transport = transport_of_job()
    try:
        outcome = send_alone(sent, transport=transport, look=context.check)
    finally:
        transport.close()
    if outcome.kind in (Kind.DELIVERED, Kind.REJECTED) and outcome.status and asked.expects(outcome.status):
        return _as_json(outcome)
    if outcome.status:
        context.log(f"{outcome.status}: {storable(outcome.body[:KEPT].decode(errors='replace'))}", level="warning")
    raise failure(outcome, now=timezone.now())


def transport_of_job() -> Transport:
    """A transport for one request, by the settings of webhooks."""
    return open_transport(settings.WEBHOOK_TRANSPORT, capacity=1, policy=address_policy())


def failure(outcome: Outcome, *, now: datetime) -> Retryable | Unrecoverable:
    """What a job raises whose request did not succeed, in the words of the outcome."""
    status = outcome.status
    text = without_advice(outcome.error, outcome.kind, status=status)
    match outcome.kind:
        case Kind.BLOCKED:
            return Unrecoverable(text)
        case Kind.DELIVERED:
            return Unrecoverable(f"The answer was {status}, which is none of the expected statuses.")
        case Kind.REJECTED if status and status < 500 and status not in _MAY_BE_MENDED:
            return Unrecoverable(f"{text} Redirects are not followed." if status < 400 else text)
    return Retryable(text, after=min(outcome.retry_after(now) or 0.0, LONGEST_RETRY_AFTER))


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status,
        "headers": _shown(outcome.headers),
        "body": storable(outcome.body[:KEPT].decode(errors="replace")),
        "truncated": len(outcome.body) > KEPT,
        "durationMs": round(outcome.timing.total or 0),
    }


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that say something about the answer; none that may hold a credential, such as Set-Cookie."""
    return {name: storable(value) for name, value in headers.items() if _SHOWN.fullmatch(name)}
