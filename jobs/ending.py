"""How a worker ends, seen from its parent: in good order, at once where it is asked again, and never later than it may.

Celery's warm shutdown tells nobody and waits for its children without a limit. Here they hear of it (jobs.stopping),
and what has not ended in time is killed: the rows it leaves are taken back once its lease has run out.
"""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import billiard
from celery import bootsteps
from celery.worker import state
from django.conf import settings

from audit.notices import notice
from jobs import stopping

HURRY = 1.0
"""Seconds that the children of a worker that was asked twice have to hand back their jobs."""
TICK = 0.1

logger = logging.getLogger(__name__)


class Ending(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Ends a worker in time, whoever asks it to: a signal, or an operator by `control shutdown` or Flower."""

    def start(self, worker: Any) -> None:  # noqa: ARG002  Celery's interface
        signal.signal(signal.SIGQUIT, end_at_once)

    def close(self, worker: Any) -> None:  # noqa: ARG002
        if not stopping.asked():
            ask_to_stop()


def ask_to_stop() -> None:
    """In the parent: the long tasks of its children come to an end; said twice, at once."""
    first = not stopping.asked()
    stopping.ask()
    if first:
        # Celery's own would cancel tasks by signals, in the middle of whatever they do.
        signal.signal(signal.SIGINT, end_at_once)
        threading.Thread(target=_end_in_time, name="ending", daemon=True).start()


def end_at_once(number: int, frame: FrameType | None) -> None:
    """A signal handler: what runs is handed back now."""
    del number, frame
    while not stopping.in_a_hurry():
        ask_to_stop()
    state.should_stop = os.EX_OK


def _end_in_time() -> None:
    began = time.monotonic()
    notice("worker.stopping", patience=settings.JOB_SHUTDOWN_TIMEOUT)
    ends = began + settings.WORKER_ENDS_WITHIN
    while time.monotonic() < ends:
        if stopping.in_a_hurry():
            ends = min(ends, time.monotonic() + HURRY)
            break
        time.sleep(TICK)
    time.sleep(max(0.0, ends - time.monotonic()))
    if left := billiard.active_children():
        logger.warning("%d processes had not ended in time: killed. What they had claimed is taken back.", len(left))
    for child in left:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.kill(child.pid, signal.SIGKILL)
