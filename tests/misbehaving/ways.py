"""What handlers should not do: they listen to nobody, each in its own way."""

import ctypes
import signal
import time
from typing import Any

from django.db import connection, transaction

from jobs.context import JobContext

FOREVER = 600.0
"""Seconds."""


def work(context: JobContext) -> Any:
    """Do nothing useful, in the way and for as long as the payload says, and leave a mark.

    On a later attempt it is over at once: so that a test sees one begin, and one end.
    """
    if context.attempt == 1:
        _WAYS[context.payload.get("way", "sleep")](context, context.payload.get("seconds", FOREVER))
    with transaction.atomic(), connection.cursor() as cursor:
        context.hold_claim()
        cursor.execute("INSERT INTO mark (job, attempt) VALUES (%s, %s)", [context.job.pk, context.attempt])
    return {"attempt": context.attempt}


def _sleep(_: JobContext, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(1)


def _compute(_: JobContext, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sum(range(1000))


def _query(_: JobContext, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


def _hold_lock(context: JobContext, seconds: float) -> None:
    with transaction.atomic():
        context.hold_claim()
        _sleep(context, seconds)


def _hold_interpreter(_: JobContext, seconds: float) -> None:
    """As library code does that computes for long without letting other threads run."""
    ctypes.PyDLL(None).sleep(int(seconds))


def _listen(context: JobContext, seconds: float) -> None:
    context.wait(seconds)


def _raise_when_told(context: JobContext, _: float) -> None:
    while not context.should_stop():
        time.sleep(0.05)
    raise RuntimeError("told, and fails")


def _die(_: JobContext, __: float) -> None:
    signal.raise_signal(signal.SIGKILL)


_WAYS = {
    "sleep": _sleep,
    "compute": _compute,
    "query": _query,
    "hold lock": _hold_lock,
    "hold interpreter": _hold_interpreter,
    "listen": _listen,
    "raise when told": _raise_when_told,
    "die": _die,
}
