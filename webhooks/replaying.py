"""Replaying: the events of a time range go to a webhook, be it a new one or one that has had them before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from audit.chain import timestamp
from audit.ids import first_at
from audit.models import AuditEvent
from jobs.context import JobContext
from jobs.models import Job
from webhooks import backlog
from webhooks.matching import matches
from webhooks.models import Webhook, WebhookDelivery

REPLAY = "webhook.replay"
AROUND = timedelta(minutes=5)
"""How far an event's id, made when it was recorded, may be from the moment that it was recorded at."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The events recorded from `since` until before `until` that a webhook wants and whose action fits `patterns`."""

    webhook: Webhook
    since: datetime
    until: datetime
    patterns: tuple[str, ...]
    asked_at: datetime

    def left(self, so_far: dict[str, Any]) -> int:
        return self._events(so_far).count()

    def step(self, so_far: dict[str, Any], *, now: datetime) -> bool:
        narrow = self._events(so_far).only("id", "workspace_id", "action", "category", "recorded_at")
        events = list(narrow.order_by("id")[: backlog.BATCH])
        if not events:
            return False
        wanted = [event.id for event in events if self._wants(event)]
        again, planned = self._redeliver(wanted, now=now), self._plan(wanted, now=now)
        so_far["redelivered"] = so_far.get("redelivered", 0) + again
        so_far["planned"] = so_far.get("planned", 0) + planned
        so_far["done"] += len(events)
        so_far["after"] = str(events[-1].id)
        return True

    def _events(self, so_far: dict[str, Any]) -> "QuerySet[AuditEvent]":
        """Those that are left to look at: a range of the company's ids, so that one index finds all of them."""
        events = AuditEvent.objects.filter(company=self.webhook.company_id, id__lt=first_at(self.until + AROUND))
        if after := so_far.get("after"):
            return events.filter(id__gt=UUID(after))
        return events.filter(id__gte=first_at(self.since - AROUND))

    def _wants(self, event: AuditEvent) -> bool:
        webhook = self.webhook
        heard = webhook.workspace_id is None or webhook.workspace_id == event.workspace_id
        in_range = self.since <= event.recorded_at < self.until
        return heard and in_range and matches(self.patterns, event.action) and webhook.wants(event)

    def _redeliver(self, events: Sequence[UUID], *, now: datetime) -> int:
        had = self.webhook.deliveries.filter(event__in=events)
        return had.ended_by(self.asked_at).redeliver(now=now)

    def _plan(self, events: Sequence[UUID], *, now: datetime) -> int:
        had = set(self.webhook.deliveries.filter(event__in=events).values_list("event_id", flat=True))
        deliveries = [
            WebhookDelivery(
                company_id=self.webhook.company_id,
                webhook=self.webhook,
                event_id=event,
                replay=True,
                next_attempt_at=now,
                created_at=now,
            )
            for event in events
            if event not in had
        ]
        WebhookDelivery.objects.bulk_create(deliveries, ignore_conflicts=True)
        return len(deliveries)


def request_replay(
    *, webhook: Webhook, since: datetime, until: datetime, patterns: Sequence[str], now: datetime
) -> Job:
    """The job that replays. Raises as `webhooks.backlog.begin` does."""
    asked = {"from": timestamp(since), "to": timestamp(until), "events": list(patterns)}
    return backlog.begin(REPLAY, webhook=webhook, asked=asked, now=now)


def replay_of(context: JobContext) -> Replay:
    """What a job is to replay. Raises jobs.context.Unrecoverable where its webhook is gone."""
    payload = context.payload
    return Replay(
        webhook=backlog.webhook_of(context),
        since=datetime.fromisoformat(payload["from"]),
        until=datetime.fromisoformat(payload["to"]),
        patterns=tuple(payload["events"]),
        asked_at=datetime.fromisoformat(payload["askedAt"]),
    )
