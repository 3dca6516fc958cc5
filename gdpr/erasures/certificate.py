"""The certificate of an erasure: what was erased, when, on whose approval, and how to check it."""

from datetime import datetime
from typing import Any

from audit import signing
from audit.canonical import canonical
from audit.chain import timestamp
from gdpr.models import Erasure

KIND = "hyrelog-erasure-v1"


def certify(erasure: Erasure, *, remaining: dict[str, int], now: datetime) -> dict[str, Any]:
    """The signed statement that an erasure is done, as it stands in its row: `{"body", "keyId", "signature"}`.

    `remaining` counts by table and column what names the person and cannot be changed.
    """
    body = {"version": 1, "erasureId": str(erasure.pk), "completedAt": timestamp(now), "remaining": remaining}
    return {"body": body, "keyId": signing.current_key_id(), "signature": signing.sign(KIND, canonical(body))}
