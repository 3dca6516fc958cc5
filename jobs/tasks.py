"""Celery's view of the runtime: doorbells and ticks, each a few lines before the domain verb."""

import time

from celery import shared_task
from django.utils import timezone

from jobs import doorbell, lanes, slots, stopping, worker
from jobs.models import Tick
from jobs.running import run_next

TIME_BOX = 60.0
"""Seconds after which a task that finds work again and again lets others have its process."""


@shared_task(name="jobs.work")
def work(lane: str) -> None:
    """Run due jobs of a lane until there are none."""
    doorbell.heard(lane)
    with slots.working() as mine, worker.claiming() as lease:
        if not mine:
            return  # whoever gives a slot back rings again
        ends, worked = time.monotonic() + TIME_BOX, False
        while not stopping.asked() and time.monotonic() < ends:
            if not run_next(queue=lane, process=lease.process_id, stopping=stopping.asked, clock=timezone.now):
                break
            worked = True
    if worked:
        lanes.slot_given_back(now=timezone.now())


@shared_task(name="jobs.poll")
def poll(name: str, period: int, chosen: list[str] | None = None) -> None:
    """A tick: look at every lane, or at the chosen ones, once for each time slot of `period` seconds."""
    if Tick.objects.claim(name=name, period=period):
        lanes.poll(chosen or lanes.names(), now=timezone.now())
