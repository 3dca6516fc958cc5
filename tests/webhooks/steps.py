"""The steps of a delivery, one by one, as a worker process takes them."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from jobs.leases import ProcessLease
from tests.jobs.steps import run_next
from webhooks import departing
from webhooks.claiming import Claimed, Claimer


def claim(*, process: uuid.UUID, limit: int, now: datetime) -> list[Claimed]:
    return Claimer(slots=1000).claim(process=process, places=limit, now=now)


def depart(claimed: Sequence[Claimed], *, now: datetime, room: int = 1_000_000) -> list[departing.Departure]:
    return departing.depart(claimed, room=room, now=now, timeout=5)[0]


def run_job(lease: ProcessLease) -> None:
    """The next job of the queue that all small jobs are in."""
    assert run_next(lease)
