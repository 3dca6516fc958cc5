"""Disabling a webhook whose endpoint is gone: as a job, since the chain that tells of it may be busy.

A sender must not wait for one company's chain: it delivers for all.
"""

from datetime import datetime
from typing import Any

from audit.models import Company
from jobs.enqueueing import enqueue
from webhooks.models import Webhook
from webhooks.settling import Settlement

DISABLE = "webhook.disable"


def ask_to_disable(settlement: Settlement) -> None:
    """Have the webhook of an attempt disabled, for the reason that its verdict gives."""
    claimed = settlement.claimed
    payload = {"webhookId": str(claimed.webhook_id), "url": settlement.url, "reason": settlement.verdict.disable}
    company = Company(pk=claimed.company_id)
    enqueue(DISABLE, payload, company=company, key=str(claimed.webhook_id), now=settlement.finished_at)


def disable_as_asked(company: Company, asked: dict[str, Any], *, now: datetime) -> bool:
    """Disable it, unless it has another URL by now: that one has said nothing. Says whether it was on."""
    webhook = Webhook.objects.of(company).filter(pk=asked["webhookId"], url=asked["url"]).first()
    return bool(webhook and webhook.disable(reason=asked["reason"], now=now, automatic=True))
