"""What the demo receiver got: counters, and the latest deliveries."""

import json
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

KEPT_DELIVERIES = 1000
KEPT_IDS = 100_000
"""A repetition is noticed as long as no more than so many other ids came in between."""
LARGEST_KEPT_BODY = 64 * 1024
SHOWN_HEADERS = (
    "content-type",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "hyrelog-attempt",
    "hyrelog-replay",
    "hyrelog-original-timestamp",
    "hyrelog-trace-id",
    "traceparent",
)


@dataclass(frozen=True)
class Received:
    """One request. `times` tells how often its webhook-id has come by now; `error` why it was rejected."""

    receivedAt: str  # noqa: N815 - the names of the JSON
    path: str
    verified: bool
    error: str | None
    webhookId: str  # noqa: N815
    times: int
    attempt: str
    type: str
    action: str
    headers: dict[str, str]
    body: Any


class Inbox:
    """Verifies and counts; its size is bounded, however much comes in."""

    def __init__(self, *, secret: str) -> None:
        self.received = self.verified = self.rejected = self.duplicates = self.unique = 0
        self.deliveries: deque[Received] = deque(maxlen=KEPT_DELIVERIES)
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._webhook = Webhook(secret) if secret else None

    def take(self, *, path: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Received:
        """Count a request and keep it; what it says is believed only if its signature is good."""
        content, error = self._verify(headers, body)
        webhook_id = headers.get("webhook-id", "")
        times = 0
        self.received += 1
        if error:
            self.rejected += 1
        else:
            self.verified += 1
            times = self._count(webhook_id)
        data = content.get("data") if isinstance(content, dict) else None
        delivery = Received(
            receivedAt=now.isoformat(timespec="milliseconds"),
            path=path,
            verified=not error,
            error=error,
            webhookId=webhook_id,
            times=times,
            attempt=headers.get("hyrelog-attempt", ""),
            type=str(content.get("type", "")) if isinstance(content, dict) else "",
            action=str(data.get("action", "")) if isinstance(data, dict) else "",
            headers={name: headers[name] for name in SHOWN_HEADERS if name in headers},
            body=content if len(body) <= LARGEST_KEPT_BODY else f"({len(body)} bytes, not kept)",
        )
        self.deliveries.appendleft(delivery)
        return delivery

    def as_json(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "verified": self.verified,
            "rejected": self.rejected,
            "duplicates": self.duplicates,
            "uniqueIds": self.unique,
            "deliveries": [asdict(delivery) for delivery in self.deliveries],
        }

    def _verify(self, headers: Mapping[str, str], body: bytes) -> tuple[Any, str | None]:
        """The parsed body and what is wrong with the request, if anything."""
        try:
            content = json.loads(body)
        except ValueError:
            return body.decode(errors="replace"), "The body is not JSON."
        if self._webhook is None:
            return content, "The receiver has no secret: set DEMO_WEBHOOK_SECRET."
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except WebhookVerificationError as problem:
            return content, str(problem)
        except ValueError as problem:  # a header that is no signature at all
            return content, f"webhook-signature cannot be read: {problem}"
        return content, None

    def _count(self, webhook_id: str) -> int:
        times = self._seen.pop(webhook_id, 0) + 1
        self._seen[webhook_id] = times
        if times == 1:
            self.unique += 1
        else:
            self.duplicates += 1
        if len(self._seen) > KEPT_IDS:
            self._seen.popitem(last=False)
        return times
