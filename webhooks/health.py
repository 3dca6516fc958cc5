"""The health of endpoints: who is failing is warned, who goes on failing is disabled, who recovered hears of that too.

`decide` is pure. `sweep` finds those with something to decide, and decides again under the row's lock.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.conf import settings
from django.db import transaction

from webhooks.models import Endpoint, Webhook
from webhooks.models.endpoint import AILING
from webhooks.telling import tell

MOST = 1_000
"""Endpoints of one sweep about which something is told; the next one goes on."""
PART = 500
"""Endpoints that are read at a time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """After how long a time of failures an endpoint's owner is warned and the webhook disabled, and after how many."""

    warn_after: timedelta
    disable_after: timedelta
    failures: int

    def disabled_from(self, *, failing_since: datetime, warned_at: datetime) -> datetime:
        """When it is disabled at the earliest: a warning that came late puts it off."""
        return max(failing_since + self.disable_after, warned_at + self.disable_after - self.warn_after)


class Step(StrEnum):
    NOTHING = "nothing"
    WARN = "warn"
    DISABLE = "disable"
    RECOVERED = "recovered"


def limits() -> Limits:
    """The limits of the settings."""
    return Limits(
        warn_after=timedelta(hours=settings.WEBHOOK_WARN_AFTER_HOURS),
        disable_after=timedelta(hours=settings.WEBHOOK_DISABLE_AFTER_HOURS),
        failures=settings.WEBHOOK_DISABLE_AFTER_FAILURES,
    )


def decide(endpoint: Endpoint, *, now: datetime, limits: Limits) -> Step:
    """What follows from what an endpoint has shown up to `now`.

    It is disabled on time and evidence: the failures themselves, the first to the last, span the whole time. An
    endpoint to which nothing was sent meanwhile has not shown that it is still failing.
    """
    since, warned_at = endpoint.failing_since, endpoint.warned_at
    if warned_at is not None and (since is None or since > warned_at):
        return Step.RECOVERED
    if since is None:
        return Step.NOTHING
    if warned_at is None:
        return Step.WARN if now - since >= limits.warn_after else Step.NOTHING
    spanned = endpoint.last_failure_at is not None and endpoint.last_failure_at - since >= limits.disable_after
    enough = endpoint.failures_in_a_row >= limits.failures
    over = now >= limits.disabled_from(failing_since=since, warned_at=warned_at)
    return Step.DISABLE if spanned and enough and over else Step.NOTHING


def sweep(*, now: datetime, limits: Limits) -> Counter[Step]:
    """Warn, disable and tell of recovery, each in a transaction of its own; says how many of each."""
    done: Counter[Step] = Counter()
    after = UUID(int=0)
    while done.total() < MOST:
        ailing = Endpoint.objects.filter(AILING, webhook__disabled_at=None, webhook__deleted_at=None, pk__gt=after)
        part = list(ailing.order_by("pk")[:PART])
        for endpoint in part:
            if decide(endpoint, now=now, limits=limits) != Step.NOTHING:
                try:
                    done[_act(endpoint.pk, now=now, limits=limits)] += 1
                except Exception:  # one company's busy chain keeps no other waiting; the next sweep tries again
                    logger.exception("The health of webhook %s could not be told.", endpoint.pk)
        if len(part) < PART:
            break
        after = part[-1].pk
    del done[Step.NOTHING]
    _find_new()
    return done


def _find_new() -> None:
    """Give webhooks their endpoint that a release without endpoints has made, during an upgrade."""
    new = Webhook.objects.filter(endpoint=None)[:PART]
    Endpoint.objects.bulk_create([Endpoint(webhook=webhook) for webhook in new], ignore_conflicts=True)


@transaction.atomic
def _act(webhook_id: UUID, *, now: datetime, limits: Limits) -> Step:
    """Decide again, while nobody can settle, enable or sweep the same endpoint, and do it.

    The chain's head is locked before the endpoint: whoever waits for a chain must not keep its endpoint from claims.
    """
    webhook = Webhook.objects.present().filter(pk=webhook_id, disabled_at=None).select_for_update(no_key=True).first()
    if webhook is None:
        return Step.NOTHING
    webhook.company.system_workspace.chain_head.lock()
    endpoint = Endpoint.objects.select_for_update(no_key=True).get(pk=webhook_id)
    step = decide(endpoint, now=now, limits=limits)
    match step:
        case Step.WARN:
            _warn(webhook, endpoint, now=now, limits=limits)
        case Step.DISABLE:
            days = (now - (endpoint.failing_since or now)) / timedelta(days=1)
            reason = f"nothing but failures for {days:.1f} days, {endpoint.failures_in_a_row} in a row"
            webhook.disable(reason=reason, now=now, automatic=True)
        case Step.RECOVERED:
            Endpoint.objects.filter(pk=webhook_id).update(warned_at=None)
            tell(webhook, "webhook.recovered", now=now, mailed=True)
    return step


def _warn(webhook: Webhook, endpoint: Endpoint, *, now: datetime, limits: Limits) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(warned_at=now)
    disabled_from = limits.disabled_from(failing_since=endpoint.failing_since or now, warned_at=now)
    tell(
        webhook,
        "webhook.failing",
        now=now,
        mailed=True,
        **endpoint.evidence(),
        disabledFrom=disabled_from,
        disabledAfterFailures=limits.failures,
    )
