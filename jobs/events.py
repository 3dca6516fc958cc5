"""What happens to jobs, told to whoever asked for it in its app's `apps.py`, once it is committed.

The names: `created`, `started`, `progress`, `completed`, `failed` (for good), `retrying` (waits again: after a failure,
a snooze, a shutdown, or by hand), `cancelled`, `lost` (an attempt's process died; what became of the job follows).
"""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django.db import transaction

if TYPE_CHECKING:
    from jobs.models import Job

Listener = Callable[[str, "Job"], None]

NAMES = ("created", "started", "progress", "completed", "failed", "retrying", "cancelled", "lost")

logger = logging.getLogger(__name__)

_listeners: list[Listener] = []


def on_event(listener: Listener) -> Listener:
    """Have `listener(name, job)` called after each event is committed, in the process that brought it about.

    It must be quick. Whatever it raises is logged, and changes nothing. `job` is as it was at that moment.
    """
    _listeners.append(listener)
    return listener


def tell(name: str, jobs: Iterable["Job"]) -> None:
    """Tell of an event of each job once the caller's transaction is committed."""
    told = [(name, job) for job in jobs]
    transaction.on_commit(lambda: _tell(told), robust=True)


def _tell(told: list[tuple[str, "Job"]]) -> None:
    for name, job in told:
        for listener in _listeners:
            try:
                listener(name, job)
            except Exception:
                logger.exception("A listener to events of jobs failed at %r of job %s; the others go on.", name, job.pk)
