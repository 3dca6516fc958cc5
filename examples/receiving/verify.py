"""Verify HyreLog's webhooks with nothing but Python."""

import binascii
import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

TOLERANCE = 5 * 60  # seconds


class Refused(Exception):
    """A request is forged, altered or too old."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> Any:
    """The event that a request carries; raises Refused. `headers` have lower-case names, `body` is as it came."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdecimal()):
        raise Refused("webhook-timestamp is missing, or no number")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE:
        raise Refused("webhook-timestamp is more than five minutes away")
    expected = signature(secret, message_id, timestamp, body)
    # While a secret is being rotated there are several signatures, parted by spaces: one that fits is enough.
    given = headers.get("webhook-signature", "").encode().split(b" ")
    if not any(hmac.compare_digest(expected, one) for one in given):
        raise Refused("no signature in webhook-signature fits")
    return json.loads(body)


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> bytes:
    """What `webhook-signature` must hold: HMAC-SHA-256 over id, timestamp and body, parted by dots."""
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not whsec_ and base64") from None
    return b"v1," + b64encode(hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256"))
