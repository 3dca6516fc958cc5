"""Housekeeping: each kind of row that ends by its age, and who ends it."""

from datetime import datetime

from audit.models import IdempotencyRecord
from audit.notices import notice
from gdpr.models import ExportArchive
from jobs import lanes


def run(*, now: datetime) -> dict[str, int]:
    """End what is over; says how many of each."""
    ended = {
        "idempotency_records": IdempotencyRecord.objects.expired(now=now).delete()[0],
        "worker_processes": lanes.bury(),
        "archives": ExportArchive.objects.expire(now=now),
    }
    notice("housekeeping.done", **ended)
    return ended
