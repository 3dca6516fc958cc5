"""Cancelling a job while its handler runs, as somebody else would."""

import threading
from collections.abc import Callable

from django.utils import timezone

from jobs.models import Job


def cancel_once(job: Job, moment: threading.Event) -> Callable[[], bool]:
    """Stands where a worker asks whether it stops: it never does, but the job is cancelled once the moment has come."""
    done = threading.Event()

    def stopping() -> bool:
        if moment.is_set() and not done.is_set():
            done.set()
            Job.objects.filter(pk=job.pk).cancel(now=timezone.now())
        return False

    return stopping
