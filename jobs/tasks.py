"""Celery's view of the runtime: doorbells and ticks, each a few lines before the domain verb."""

import time

from celery import shared_task
from django.utils import timezone

from jobs import doorbell, lanes, registry, slots, stopping, worker
from jobs.claiming import Claimer
from jobs.models import Tick
from jobs.running import run_next

TIME_BOX = 60.0
"""Seconds after which a task that finds work again and again lets others have its process."""

_claimers: dict[str, Claimer] = {}
"""Of each lane: each process goes on where it was, so that the next company's turn comes next."""


@shared_task(name="jobs.work")
def work(lane: str) -> None:
    """Run due jobs of a lane until there are none."""
    doorbell.heard(lane)
    ends, worked = time.monotonic() + TIME_BOX, False
    claimer = _claimers.setdefault(lane, Claimer(lane))
    with slots.working() as slot, worker.claiming() as lease:
        # Without a slot there is nothing to do: whoever gives one back rings again.
        while slot and not stopping.asked() and time.monotonic() < ends:
            process, last = lease.process_id, slot is slots.Slot.LAST
            if not run_next(claimer, process=process, stopping=stopping.asked, clock=timezone.now, newcomers_only=last):
                break
            worked = True
    if worked:
        lanes.slot_given_back(now=timezone.now())
    if registry.taken_patterns():
        lanes.pass_on(lane, now=timezone.now())


@shared_task(name="jobs.poll")
def poll(name: str, period: int, chosen: list[str] | None = None) -> None:
    """A tick: look at every lane, or at the chosen ones, once for each time slot of `period` seconds."""
    if Tick.objects.claim(name=name, period=period):
        lanes.poll(chosen or lanes.names(), now=timezone.now())
