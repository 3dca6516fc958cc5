"""Recovering: what was given up or held since a moment is made due again, the oldest first."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.chain import timestamp
from jobs.context import JobContext
from jobs.models import Job
from webhooks import backlog
from webhooks.models import Webhook, WebhookDelivery
from webhooks.models.delivery import WebhookDeliveryQuerySet

RECOVER = "webhook.recover"
STATUSES = ("FAILED", "HELD")


@dataclass(frozen=True, slots=True)
class Recovery:
    """The deliveries of a webhook that came up from `since` until before `until` and were given up, or are held."""

    webhook: Webhook
    since: datetime
    until: datetime
    statuses: tuple[str, ...]
    asked_at: datetime

    def left(self, _so_far: dict[str, Any]) -> int:
        return sum(self._rows(status).count() for status in self.statuses)

    def step(self, so_far: dict[str, Any], *, now: datetime) -> bool:
        for status in self.statuses:
            # Those that were made due are none of these any more: the next batch begins where this one ended.
            if oldest := self._rows(status).oldest(backlog.BATCH):
                chosen = WebhookDelivery.objects.filter(pk__in=oldest)
                so_far["done"] += chosen.recover(now=now) if status == "HELD" else chosen.redeliver(now=now)
                return True
        return False

    def _rows(self, status: str) -> WebhookDeliveryQuerySet:
        came_up: WebhookDeliveryQuerySet = self.webhook.deliveries.filter(
            created_at__gte=self.since, created_at__lt=self.until
        )
        if status == "HELD":
            return came_up.in_status(status)
        return came_up.given_up().ended_by(self.asked_at)


def request_recovery(
    *, webhook: Webhook, since: datetime, until: datetime | None, statuses: Iterable[str], now: datetime
) -> Job:
    """The job that recovers; without `until`, what came up until now. Raises as `webhooks.backlog.begin` does."""
    asked = {
        "since": timestamp(since),
        "until": until and timestamp(until),
        "statuses": [status for status in STATUSES if status in set(statuses)],
    }
    return backlog.begin(RECOVER, webhook=webhook, asked=asked, now=now)


def recovery_of(context: JobContext) -> Recovery:
    """What a job is to recover. Raises jobs.context.Unrecoverable where its webhook is gone."""
    payload = context.payload
    asked_at = datetime.fromisoformat(payload["askedAt"])
    return Recovery(
        webhook=backlog.webhook_of(context),
        since=datetime.fromisoformat(payload["since"]),
        until=datetime.fromisoformat(payload["until"]) if payload["until"] else asked_at,
        statuses=tuple(payload["statuses"]),
        asked_at=asked_at,
    )
