"""Housekeeping: each kind of row that ends by its age, and who ends it."""

import logging
from collections.abc import Callable
from datetime import datetime

from audit.models import IdempotencyRecord
from audit.notices import notice
from gdpr.models import DownloadLink, ExportArchive
from jobs import lanes
from jobs import retention as jobs_retention
from webhooks import retention
from webhooks.models import Webhook

logger = logging.getLogger(__name__)

Step = Callable[[datetime], int]

STEPS: dict[str, Step] = {
    "idempotency_records": lambda now: IdempotencyRecord.objects.expired(now=now).delete()[0],
    "worker_processes": lambda now: lanes.bury(),  # noqa: ARG005  leases go by the database's clock
    "previous_secrets": lambda now: Webhook.objects.forget_previous_secrets(now=now),
    "downloads": lambda now: DownloadLink.objects.tell_downloads(now=now),
    "archives": lambda now: ExportArchive.objects.expire(now=now),
    "webhook_attempts": lambda now: retention.prune_attempts(now=now),
    "webhook_deliveries": lambda now: retention.prune_deliveries(now=now),
    "endpoint_hours": lambda now: retention.prune_hours(now=now),
    "jobs": lambda now: jobs_retention.prune_jobs(now=now),
    "throttles": lambda now: jobs_retention.prune_throttles(now=now),
}


class StepsFailed(Exception):
    """Some steps of housekeeping failed; all others were done, and these are tried again at the next run."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"housekeeping failed at {', '.join(names)}; why was logged for each. The other steps ran.")


def run(*, now: datetime) -> dict[str, int]:
    """End what is over; says how many of each. Raises StepsFailed, once every step was tried."""
    ended: dict[str, int] = {}
    failed: list[str] = []
    for name, step in STEPS.items():
        try:
            ended[name] = step(now)
        except Exception:
            logger.exception("Housekeeping failed at %s; it goes on with the next step.", name)
            failed.append(name)
    notice("housekeeping.done", **ended, **({"failed": failed} if failed else {}))
    if failed:
        raise StepsFailed(failed)
    return ended
