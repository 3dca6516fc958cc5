"""How many jobs there are, by status and by what else one asks for, and since when the longest due one waits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Min, Q

from audit.chain import timestamp
from jobs.models.job import JobQuerySet, Status


@dataclass(slots=True)
class Tally:
    """Jobs of each status."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str.lower, Status.values), 0))
    oldest_waiting: datetime | None = None
    """When the job became due that has been due for longest; None where none is."""

    def add(self, status: str, count: int, waiting_since: datetime | None) -> None:
        self.counts[status.lower()] += count
        known = [moment for moment in (self.oldest_waiting, waiting_since) if moment]
        self.oldest_waiting = min(known, default=None)

    def as_json(self) -> dict[str, Any]:
        return {**self.counts, "total": sum(self.counts.values())}


@dataclass(frozen=True, slots=True)
class Statistics:
    """All jobs, and each part of them: `parts["type"]["sleep"]`."""

    total: Tally
    parts: dict[str, dict[str, Tally]]

    def as_json(self) -> dict[str, Any]:
        since = self.total.oldest_waiting
        shown: dict[str, Any] = {**self.total.as_json(), "oldestWaiting": since and timestamp(since)}
        for name, tallies in self.parts.items():
            shown[f"by{name.title()}"] = {value: tallies[value].as_json() for value in sorted(tallies)}
        return shown


def statistics_of(jobs: JobQuerySet, *, by: Sequence[str], now: datetime) -> Statistics:
    """Count jobs in one statement, in all and by each of some fields.

    A company's, by type, are counted by the index job_company_type alone.
    """
    due = Q(status=Status.PENDING, run_at__lte=now)
    groups = jobs.order_by().values_list("status", *by).annotate(count=Count("pk"), since=Min("run_at", filter=due))
    total, parts = Tally(), {name: defaultdict[str, Tally](Tally) for name in by}
    for status, *values, count, waiting_since in groups:
        total.add(status, count, waiting_since)
        for name, value in zip(by, values, strict=True):
            parts[name][value].add(status, count, waiting_since)
    return Statistics(total, {name: dict(tallies) for name, tallies in parts.items()})
