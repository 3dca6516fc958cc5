"""The doorbell: tells the workers, through Celery, that there may be work in a lane.

A ring never fails and never stalls its caller: a thread publishes it, whatever state the broker is in. Rings that
come while one is being published are one ring; across processes a mark in Redis keeps a lane from being rung again
before the last ring was heard, so that events do not make a queue grow which no worker listens to. A lost ring costs
latency: the poll rings every lane with due work every five seconds, whatever the mark says.
"""

import atexit
import logging
import os
import threading
import time
from dataclasses import dataclass, field

import redis
from celery import current_app
from django.db import transaction

from audit.notices import notice
from jobs.redis_client import client

EXPIRES = 60
"""Seconds after which a ring that nobody heard is void, and the lane may be rung anew."""
LAST_WORDS = 2.0
"""Seconds that a process which ends waits for its last rings."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Publisher:
    """The thread that publishes, and the lanes that wait for it."""

    waiting: dict[str, bool] = field(default_factory=dict)
    later: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    thread: threading.Thread | None = None
    busy: bool = False


_tasks: dict[str, tuple[str, str]] = {}
_publisher = _Publisher()


def hang(lane: str, *, task: str, queue: str) -> None:
    """Say which task, through which queue, is a lane's bell."""
    _tasks[lane] = (task, queue)


def ring_on_commit(lane: str) -> None:
    """Ring once the caller's transaction is committed."""
    transaction.on_commit(lambda: ring(lane), robust=True)


def ring(lane: str, *, again: bool = False) -> None:
    """Ring now; returns at once. `again` rings also where an earlier ring seems unheard: it may be lost."""
    with _publisher.changed:
        _publisher.waiting[lane] = _publisher.waiting.get(lane, False) or again
        _begin()


def ring_in(lane: str, seconds: float) -> None:
    """Ring after less than a minute, for work that comes due then; returns at once."""
    with _publisher.changed:
        _publisher.later[lane] = min(seconds, _publisher.later.get(lane, seconds))
        _begin()


def _begin() -> None:
    if _publisher.thread is None:
        _publisher.thread = threading.Thread(target=_publish_for_ever, name="doorbell", daemon=True)
        _publisher.thread.start()
    _publisher.changed.notify_all()


def heard(lane: str) -> None:
    """Say that a worker has begun to look: from now on a ring is news again.

    It must be said before looking: what is committed after that rings anew.
    """
    try:
        client().delete(_mark(lane))
    except redis.RedisError:
        logger.debug("Redis is away; the mark of lane %s runs out by itself.", lane)


def wait_published(timeout: float) -> bool:
    """Wait until nothing is left to publish; says whether that was so within `timeout` seconds."""
    with _publisher.changed:
        return _publisher.changed.wait_for(
            lambda: not (_publisher.waiting or _publisher.later or _publisher.busy), timeout
        )


def _publish_for_ever() -> None:
    publisher = _publisher
    while True:
        with publisher.changed:
            publisher.busy = False
            publisher.changed.notify_all()
            publisher.changed.wait_for(lambda: publisher.waiting or publisher.later)
            lanes, publisher.waiting, publisher.busy = publisher.waiting, {}, True
            later, publisher.later = publisher.later, {}
        for lane, again in lanes.items():
            _publish(lane, again=again)
        for lane, seconds in later.items():
            _publish(lane, again=False, seconds=seconds)


def _publish(lane: str, *, again: bool, seconds: float = 0) -> None:
    try:
        news = _mark_later(lane, seconds) if seconds else client().set(_mark(lane), 1, nx=not again, ex=EXPIRES)
        if news:
            task, queue = _tasks[lane]
            current_app.send_task(
                task,
                args=[lane],
                queue=queue,
                countdown=seconds or None,
                expires=seconds + EXPIRES,
                retry=False,
                ignore_result=True,
            )
            notice("lane.rung", lane=lane)
    except Exception as error:  # noqa: BLE001  whatever a broker does, it must not end the thread
        logger.warning("Lane %s could not be rung (%s); the poll will find its work.", lane, error)


def _mark_later(lane: str, seconds: float) -> bool:
    """Say when a lane will be rung; False where it will be by then. Two who say so at once both ring, at no harm."""
    mark, moment = f"{_mark(lane)}:later", time.time() + seconds
    known = client().get(mark)
    if isinstance(known, bytes) and float(known) <= moment:
        return False
    client().set(mark, moment, px=max(1, int(seconds * 1000)))
    return True


def _mark(lane: str) -> str:
    return f"hyrelog:rung:{lane}"


def _start_afresh() -> None:
    """A forked child does not have its parent's thread."""
    global _publisher  # noqa: PLW0603  one thread for each process
    _publisher = _Publisher()


os.register_at_fork(after_in_child=_start_afresh)
atexit.register(lambda: _publisher.thread and wait_published(LAST_WORDS))
