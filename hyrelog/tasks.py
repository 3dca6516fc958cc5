"""The housekeeping tick: everything that ends by age."""

from celery import shared_task
from django.utils import timezone

from hyrelog import housekeeping
from jobs.models import Tick


@shared_task(name="hyrelog.housekeeping")
def clean_up(name: str, period: int) -> None:
    if Tick.objects.claim(name=name, period=period):
        housekeeping.run(now=timezone.now())
