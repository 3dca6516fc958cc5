"""Rendering: the request of one attempt, from the event, its delivery and its webhook (design, section 6)."""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from webhooks.sending.request import Request
from webhooks.sending.signing import sign

Event = dict[str, Any]
"""An event as `AuditEvent.as_json` shows it."""

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


def render_body(event: Event, *, version: int) -> bytes:
    """The envelope of an event as UTF-8 JSON; the same bytes on every attempt, since nothing of the attempt is in it.

    Raises ValueError for a version that this release does not know.
    """
    if version != 1:
        raise ValueError(f"envelope version {version} is unknown; this release renders version 1")
    envelope = {"type": event["action"], "timestamp": event["occurredAt"], "data": event}
    return orjson.dumps(envelope, option=orjson.OPT_SORT_KEYS)


def render_request(  # noqa: PLR0913  what an attempt is made of
    event: Event,
    *,
    url: str,
    secrets: Sequence[str],
    added: Mapping[str, str],
    version: int,
    attempt: uuid.UUID,
    number: int,
    replay: bool,
    now: datetime,
    timeout: float,
) -> Request:
    """The signed POST of one attempt (Standard Webhooks v1; Trace Context, W3C Recommendation, section 3.2).

    `added` are the webhook's own headers.
    """
    body = render_body(event, version=version)
    sent_at = int(now.timestamp())
    message_id = event["id"]
    trace = trace_id(event)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": sign(secrets=secrets, message_id=message_id, timestamp=sent_at, body=body),
        "HyreLog-Attempt": str(number),
        "HyreLog-Trace-Id": trace,
        "traceparent": f"00-{trace}-{attempt.bytes[-8:].hex()}-01",
    }
    if replay:
        headers |= {"HyreLog-Replay": "true", "HyreLog-Original-Timestamp": event["recordedAt"]}
    return Request(id=attempt, url=url, headers={**headers, **added}, body=body, timeout=timeout)


def trace_id(event: Event) -> str:
    """The event's own trace id if it is one of W3C Trace Context; else one derived from it or from the event's id."""
    own: str = event["traceId"] or event["id"]
    if _TRACE_ID.fullmatch(own) and own != "0" * 32:
        return own
    return hashlib.sha256(own.encode()).hexdigest()[:32]
