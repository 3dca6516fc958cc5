"""Waiting of an erasure's job for what others have to end first: it gives its place to other jobs, and comes back."""

from typing import NoReturn

from jobs.context import JobContext, Snooze
from jobs.models import JobLog

SNOOZE = 60.0
"""Seconds after which it comes back."""


def come_back_later(context: JobContext, why: str) -> NoReturn:
    """Raise jobs.context.Snooze; the job's log says why, once, since it may take months."""
    last = JobLog.objects.filter(job=context.job).order_by("id").last()
    if last is None or last.text != why:
        context.log(why)
    raise Snooze(SNOOZE)
