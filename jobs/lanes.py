"""Lanes: a kind of due work, the Celery task that does it, and how to see and to rescue it.

The truth is the rows; a lane's bell only says that there may be some.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from audit.notices import notice
from jobs import doorbell
from jobs.models import WorkerProcess

AHEAD = timedelta(seconds=6)
"""How far a look at a lane sees ahead: to the next poll, and a little beyond it."""

LATE = 0.05
"""Seconds by which a bell for a moment comes after it: who came a blink before it would find nothing."""

PASSED_ON_AFTER = 0.5
"""Seconds until a bell rings again that was heard by the wrong worker: it may go round until the right one is free."""


class NextDue(Protocol):
    def __call__(self, *, now: datetime, until: datetime) -> datetime | None: ...


class Rescue(Protocol):
    def __call__(self, *, now: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class Lane:
    """`next_due(now=…, until=…)` tells the first moment at which a row is due, `now` if one is due already.

    `rescue(now=…)` takes back orphans and says how many.
    """

    name: str
    task: str
    queue: str
    next_due: NextDue
    rescue: Rescue


_lanes: dict[str, Lane] = {}

logger = logging.getLogger(__name__)


def register(lane: Lane) -> None:
    """Add a lane; each app does it in its `apps.py`."""
    _lanes[lane.name] = lane
    doorbell.hang(lane.name, task=lane.task, queue=lane.queue)


def names() -> tuple[str, ...]:
    return tuple(_lanes)


def poll(chosen: Iterable[str], *, now: datetime) -> None:
    """Take back orphans, and ring each chosen lane that has due work.

    What one raises is logged, and keeps neither its own bell nor the other lanes waiting.
    """
    for name in chosen:
        with _logged(name):
            if rescued := _lanes[name].rescue(now=now):
                notice("lane.rescued", lane=name, count=rescued)
        with _logged(name):
            ring_if_due(name, now=now, again=True)


def rescue(*, now: datetime) -> int:
    """Take back the orphans of all lanes, and ring none: for who works while nobody else does. Says how many."""
    return sum(lane.rescue(now=now) for lane in _lanes.values())


@contextmanager
def _logged(name: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("The poll failed at the lane %r; it goes on with the rest.", name)


def slot_given_back(*, now: datetime) -> None:
    """Ring every lane with due work: its bell may have been turned away while all slots were held.

    Say it only after work was done. Where nothing could be claimed (rows that somebody else has locked, a lease that
    has just run out), it would turn in circles; the poll comes soon enough.
    """
    for name in _lanes:
        ring_if_due(name, now=now)


def ring_if_due(name: str, *, now: datetime, again: bool = False) -> None:
    """Ring a lane that has due work; `again` also where it was rung and nobody seems to have heard.

    Where the first work comes due before the next poll, the bell rings at that moment.
    """
    moment = _lanes[name].next_due(now=now, until=now + AHEAD)
    if moment is None:
        return
    if moment <= now:
        doorbell.ring(name, again=again)
    else:
        ring_at(name, moment, now=now)


def ring_at(name: str, moment: datetime, *, now: datetime) -> None:
    """Ring a lane at a moment to come, if it comes before the next poll and a little; that one sees what is later."""
    if now < moment <= now + AHEAD:
        doorbell.ring_in(name, (moment - now).total_seconds() + LATE)


def pass_on(name: str, *, now: datetime) -> None:
    """Ring a lane that has due work shortly, for a worker that takes other types of job than the one that heard."""
    if _lanes[name].next_due(now=now, until=now):
        doorbell.ring_in(name, PASSED_ON_AFTER)


def bury() -> int:
    """Delete the rows of processes whose lease has run out; says how many. What they claimed is orphaned either way."""
    return WorkerProcess.objects.expired().delete()[0]
