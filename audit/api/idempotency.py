"""`Idempotency-Key`: the same key and body within 24 hours answer as the first time, another body answers 409."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from ninja.responses import NinjaJSONEncoder

from audit.api.errors import ApiError, invalid
from audit.models import ApiKey, IdempotencyRecord

MOST = 255
Answer = tuple[int, Any]

HEADER = {
    "parameters": [
        {
            "in": "header",
            "name": "Idempotency-Key",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": MOST},
            "description": "The same key and body within 24 hours answer as the first time; another body answers 409.",
        }
    ]
}
"""How a route's description tells of it (`openapi_extra`)."""


def once(request: HttpRequest, key: ApiKey, *, route: str, now: datetime, answer: Callable[[], Answer]) -> Answer:
    """The answer of `answer()`, which runs in a transaction; with an `Idempotency-Key`, of the first time.

    Raises ApiError 409 for a key that came with another body before, 422 for one that breaks the rule. Two requests at
    once wait for each other: the database's unique constraint lets one of them be the first.
    """
    name = request.headers.get("idempotency-key")
    with transaction.atomic():
        if name is None:
            return answer()
        if not 0 < len(name) <= MOST or "\0" in name:
            raise invalid("Idempotency-Key", f"must have 1 to {MOST} characters, none of them U+0000")
        place = {"api_key": key, "route": route, "key": name}
        IdempotencyRecord.objects.filter(**place).expired(now=now).delete()
        # A body may name a person, and be guessed: without SECRET_KEY nobody can try out which one it was.
        fingerprint = salted_hmac("idempotency", request.body, algorithm="sha256").hexdigest()
        record, new = IdempotencyRecord.objects.get_or_create(
            **place, defaults={"company_id": key.company_id, "fingerprint": fingerprint, "created_at": now}
        )
        if not new:
            return _repeat(record, fingerprint)
        status, body = answer()
        record.status, record.answer = status, json.loads(json.dumps(body, cls=NinjaJSONEncoder))
        record.save(update_fields=["status", "answer"])
        return status, record.answer


def _repeat(record: IdempotencyRecord, fingerprint: str) -> Answer:
    if record.fingerprint != fingerprint:
        error = f"The Idempotency-Key {record.key!r} came with another body before; use a new key for a new request."
        raise ApiError(409, "idempotency_conflict", error)
    return record.status or 200, record.answer
