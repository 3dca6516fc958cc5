"""Publishing: each event of a company's job goes out on the company's channel in Redis, for the streams that follow.

It never fails nor stalls whoever brought the event about: a thread publishes, from a queue with a bound. What does not
fit is dropped, and so is what waits while Redis is away: it would come late, after newer news. A stream compares what
it told with the rows now and then, so that a lost message costs latency.
"""

import atexit
import logging
import os
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from django.utils import timezone

from audit.chain import timestamp
from jobs.redis_client import client

if TYPE_CHECKING:
    from jobs.models import Job

MOST_WAITING = 10_000
"""Messages that wait to be published at the most."""
BATCH = 500
"""Messages that go to Redis in one round trip."""
LAST_WORDS = 2.0
"""Seconds that a process which ends waits for its last messages to leave."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Publisher:
    """The thread that publishes, and the messages that wait for it, each with its channel."""

    waiting: deque[tuple[str, bytes]] = field(default_factory=deque)
    changed: threading.Condition = field(default_factory=threading.Condition)
    thread: threading.Thread | None = None
    busy: bool = False
    full: bool = False


_publisher = _Publisher()


def channel(company_id: uuid.UUID) -> str:
    """Where the events of a company's jobs are published."""
    return f"hyrelog:jobs:{company_id}"


def publish(name: str, job: "Job") -> None:
    """A listener (jobs.events): publish an event, where the job is a company's; returns at once."""
    if job.company_id is None:
        return
    message = orjson.dumps({"event": name, "at": timestamp(timezone.now()), "job": job.summary()})
    with _publisher.changed:
        if len(_publisher.waiting) >= MOST_WAITING:
            _say_full()
            return
        _publisher.full = False
        _publisher.waiting.append((channel(job.company_id), message))
        if _publisher.thread is None:
            _publisher.thread = threading.Thread(target=_publish_for_ever, name="publishing", daemon=True)
            _publisher.thread.start()
        _publisher.changed.notify_all()


def wait_published(timeout: float) -> bool:
    """Wait until nothing is left to publish; says whether that was so within `timeout` seconds."""
    with _publisher.changed:
        return _publisher.changed.wait_for(lambda: not (_publisher.waiting or _publisher.busy), timeout)


def say_last_words() -> None:
    """What a process does that is about to end."""
    if _publisher.thread is not None:
        wait_published(LAST_WORDS)


def _publish_for_ever() -> None:
    publisher = _publisher
    while True:
        with publisher.changed:
            publisher.busy = False
            publisher.changed.notify_all()
            publisher.changed.wait_for(lambda: publisher.waiting)
            batch = [publisher.waiting.popleft() for _ in range(min(BATCH, len(publisher.waiting)))]
            publisher.busy = True
        try:
            _publish(batch)
        except Exception as error:  # noqa: BLE001  whatever Redis does, it must not end the thread
            with publisher.changed:
                lost = len(batch) + len(publisher.waiting)
                publisher.waiting.clear()
            logger.warning("%d events of jobs could not be published (%s); streams learn of them later.", lost, error)


def _publish(batch: list[tuple[str, bytes]]) -> None:
    with client().pipeline(transaction=False) as pipeline:
        for place, message in batch:
            pipeline.publish(place, message)
        pipeline.execute()


def _say_full() -> None:
    if not _publisher.full:
        _publisher.full = True
        logger.warning("%d events of jobs wait to be published; more are dropped for now.", MOST_WAITING)


def _start_afresh() -> None:
    """A forked child does not have its parent's thread, and what waited is the parent's to publish."""
    global _publisher  # noqa: PLW0603  one thread for each process
    _publisher = _Publisher()


os.register_at_fork(after_in_child=_start_afresh)
atexit.register(say_last_words)
