"""Testing a webhook: one event that is not stored, sent now, and what came of it."""

import json
import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from audit.chain import timestamp
from audit.encryption import UnreadableSecret
from webhooks.departing import UNREADABLE
from webhooks.models import Webhook
from webhooks.sending.diagnosis import Diagnosis, diagnose
from webhooks.sending.inspecting import Handshake
from webhooks.sending.outcome import Kind, Outcome
from webhooks.sending.request import Request
from webhooks.sending.signing import sign
from webhooks.tasks import address_policy

TYPE = "webhook.test"
LONGEST = 15.0
"""Seconds that a caller waits for an endpoint, at the most."""
BODY_SHOWN = 1024
"""Bytes."""


def send_test(webhook: Webhook, *, now: datetime) -> dict[str, Any]:
    """Send a `webhook.test` to a webhook, enabled or not, and answer the diagnosis as the API shows it.

    Must be called outside a transaction: it gives the database connection back while the request is on the wire.
    """
    try:
        request = render_test(webhook, now=now)
    except UnreadableSecret:
        return _as_json(Diagnosis(Outcome(Kind.BLOCKED, error=UNREADABLE)), now=now)
    connection.close()
    return _as_json(diagnose(request, transport=settings.WEBHOOK_TRANSPORT, policy=address_policy()), now=now)


def render_test(webhook: Webhook, *, now: datetime) -> Request:
    """The signed POST, like one of an event; raises UnreadableSecret."""
    message = uuid.uuid4()
    data = {"webhookId": str(webhook.pk), "companyId": str(webhook.company_id), "description": webhook.description}
    envelope = {"type": TYPE, "timestamp": timestamp(now), "data": data}
    body = json.dumps(envelope, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    sent_at = int(now.timestamp())
    secrets = webhook.signing_secrets(now=now)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": str(message),
        "webhook-timestamp": str(sent_at),
        "webhook-signature": sign(secrets=secrets, message_id=str(message), timestamp=sent_at, body=body),
        "HyreLog-Attempt": "1",
        "HyreLog-Trace-Id": message.hex,
        "traceparent": f"00-{message.hex}-{message.bytes[-8:].hex()}-01",
        **webhook.added_headers,
    }
    timeout = min(webhook.timeout_seconds or settings.WEBHOOK_TIMEOUT_SECONDS, LONGEST)
    return Request(id=message, url=webhook.url, headers=headers, body=body, timeout=timeout)


def in_words(told: dict[str, Any]) -> str:
    """A diagnosis as `send_test` answers it, in a few sentences."""
    certificate = told["tls"] and told["tls"]["certificate"]
    sentences = [
        f"The endpoint answered {told['status']} after {told['timing']['total']:.0f} ms: delivered."
        if told["delivered"]
        else f"The test was not delivered. {told['error']}",
        told["address"] and f"Its address: {told['address']}.",
        certificate and f"Its certificate ends in {certificate['daysLeft']} days.",
        told["body"] and f"The answer: {told['body']}",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _as_json(diagnosis: Diagnosis, *, now: datetime) -> dict[str, Any]:
    outcome, resolution = diagnosis.outcome, diagnosis.resolution
    return {
        "delivered": outcome.kind is Kind.DELIVERED,
        "kind": outcome.kind,
        "error": outcome.error or None,
        "status": outcome.status,
        "body": outcome.body[:BODY_SHOWN].decode(errors="replace"),
        "address": outcome.address,
        "dns": resolution
        and {
            "addresses": list(resolution.addresses),
            "error": resolution.error.removeprefix("url: ") or None,
        },
        "tls": diagnosis.handshake and _tls_as_json(diagnosis.handshake, trusted=diagnosis.trusted, now=now),
        "timing": outcome.timing.as_json(),
    }


def _tls_as_json(handshake: Handshake, *, trusted: bool | None, now: datetime) -> dict[str, Any]:
    certificate = handshake.certificate
    return {
        "trusted": trusted,
        "version": handshake.version or None,
        "error": handshake.error or None,
        "certificate": certificate
        and {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "names": certificate.names,
            "notBefore": timestamp(certificate.not_before),
            "notAfter": timestamp(certificate.not_after),
            "daysLeft": (certificate.not_after - now).days,
        },
    }
