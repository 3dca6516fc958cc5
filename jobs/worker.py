"""What a Celery worker process does at its start and its end: it holds a lease, and polls when no beat does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import signals
from django.db import connection
from django.utils import timezone

from jobs import ending, lanes, publishing, registry, slots, stopping
from jobs.leases import ProcessLease
from jobs.models import Tick

_lease: ProcessLease | None = None
_poll: threading.Thread | None = None
_queues: list[str] = []


def lease() -> ProcessLease:
    """The lease of this worker process. Raises RuntimeError outside a Celery worker."""
    if _lease is None:
        raise RuntimeError("This process holds no lease: tasks that claim rows run in a Celery worker's processes.")
    return _lease


@contextmanager
def claiming() -> Iterator[ProcessLease]:
    """The lease to claim for; whatever is raised inside gives it up, so that no claim is left without an owner."""
    held = lease()
    try:
        yield held
    except BaseException:
        held.give_up(held.process_id)
        raise


@signals.celeryd_after_setup.connect
def divide_slots(sender: str, instance: Any, **_: Any) -> None:  # noqa: ARG001  Celery passes by name
    """In the parent, before it forks: what its children share. Raises SystemExit for another pool than prefork."""
    if "prefork" not in instance.pool_cls.__module__:
        raise SystemExit("HyreLog's workers run on the prefork pool: a lease stands for a process. Leave -P out.")
    slots.divide(instance.concurrency)
    stopping.forget()
    _queues[:] = sorted(instance.app.amqp.queues.consume_from)


@signals.worker_shutting_down.connect
def stop(**_: Any) -> None:
    """In the parent, at SIGTERM and SIGINT."""
    ending.ask_to_stop()


@signals.worker_process_init.connect
def begin(**_: Any) -> None:
    """In a child, after the fork."""
    global _lease  # noqa: PLW0603  one lease for each process
    types = list(registry.taken_patterns())
    _lease = ProcessLease(queues=list(_queues), types=types, beat=poll_if_beat_is_silent)
    _lease.start()


@signals.worker_process_shutdown.connect
def end(**_: Any) -> None:
    if _lease is not None:
        _lease.stop()
    publishing.say_last_words()  # Celery ends its children without Python's own clean-up


def poll_if_beat_is_silent() -> None:
    """Do beat's work while there has been no tick for 90 s.

    In a thread of its own: whatever keeps it waiting must not keep the lease from being renewed.
    """
    global _poll  # noqa: PLW0603  one at a time in each process
    if (_poll is None or not _poll.is_alive()) and Tick.objects.silent():
        _poll = threading.Thread(target=_poll_once, name="poll", daemon=True)
        _poll.start()


def _poll_once() -> None:
    try:
        lanes.poll(lanes.names(), now=timezone.now())
    finally:
        connection.close()
