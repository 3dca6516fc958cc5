"""Watching a running handler: it is told to end, and its process is ended where it does not listen.

Told, it may put away what it has begun. Ended is the process as a whole, by a thread of its own: an exception raised
inside the handler could hit a commit in the middle, and a signal from outside whatever runs there by then.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

from django.db import DEFAULT_DB_ALIAS, Error, connection, connections, transaction
from django.utils import timezone

from audit.notices import notice
from jobs import doorbell, lanes, publishing
from jobs.models import Job, WorkerProcess
from jobs.models.job import NOBODY

LOOK_EVERY = 1.0
"""Seconds between two looks at the row."""
TICK = 0.1
"""Seconds between two looks at the clock, and at the worker's own end."""
GRACE = 10.0
"""Seconds that a handler has to end after it was told of a timeout or a cancellation."""
EXIT_STATUS = 70
"""Of a process that ended itself (EX_SOFTWARE in sysexits.h)."""
SETTLES_WITHIN = 5.0
"""Seconds after which a process that ends itself is gone, whatever became of its last statements."""
LOCK_TIMEOUT = "1s"
"""For which it waits for a row: whoever holds it may be its own handler."""

logger = logging.getLogger(__name__)


class Reason(StrEnum):
    """Why a handler should end."""

    SHUTDOWN = "shutdown"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    TAKEN_AWAY = "taken away"


class Watch:
    """Knows whether a job's handler should end. As a context it watches from a thread, and ends the process in time.

    `stopping` tells whether the worker was asked to stop, `patience` how many seconds its handlers have since then.
    Either the context is left or the process is ended: what the handler left behind is settled by one of both.
    """

    def __init__(
        self,
        job: Job,
        *,
        timeout: float,
        stopping: Callable[[], bool],
        patience: Callable[[], float] = lambda: GRACE,
        settle_timeout: Callable[[Job], bool] | None = None,
    ) -> None:
        self._job = job
        self._process = job.claimed_by or NOBODY
        self._session = connections[DEFAULT_DB_ALIAS]  # the handler's, which has this thread
        self._deadline = time.monotonic() + timeout
        self._stopping = stopping
        self._patience = patience
        self._settle_timeout = settle_timeout
        self._looked_at = time.monotonic()
        self._told_at: float | None = None
        self._stopping_at: float | None = None
        self._reason: Reason | None = None
        self._told = threading.Event()
        self._over = threading.Event()
        self._ending = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._ending:
            self._over.set()

    @property
    def reason(self) -> Reason | None:
        """Why the handler should end; None while it should not. What it was told first stays."""
        if self._reason is None:
            if self._stopping():
                self._tell(Reason.SHUTDOWN)
            elif time.monotonic() > self._deadline:
                self._tell(Reason.TIMEOUT)
        return self._reason

    def look(self) -> None:
        """Look at the row: whether somebody cancelled the job, or took it away."""
        if self._reason in (None, Reason.SHUTDOWN) and not self._job.wanted():
            self._tell(Reason.CANCELLED if self._job.claimed() else Reason.TAKEN_AWAY)

    def wait(self, seconds: float) -> bool:
        """Wait until the handler should end, at most for so long; says whether it should."""
        ends = time.monotonic() + seconds
        while self.reason is None and (left := ends - time.monotonic()) > 0:
            self._told.wait(min(left, TICK))
        return self.reason is not None

    def _tell(self, reason: Reason) -> None:
        self._reason, self._told_at = reason, self._told_at or time.monotonic()
        self._told.set()

    def _run(self) -> None:
        try:
            while not self._over.wait(TICK):
                self._look_now_and_then()
                if self._has_had_its_time(time.monotonic()):
                    with self._ending:
                        if not self._over.is_set():
                            self._end_process()
        finally:
            connection.close()

    def _look_now_and_then(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = time.monotonic()
        try:
            self.look()
        except Error as error:
            logger.warning("Job %s could not be looked at (%s); trying again.", self._job.pk, type(error).__name__)
            connection.close()

    def _has_had_its_time(self, now: float) -> bool:
        """Whether the handler was told and has not listened: a worker that ends waits for no other reason."""
        if self._stopping_at is None and self._stopping():
            self._stopping_at = now
        if self._stopping_at is not None and now - self._stopping_at > self._patience():
            return self.reason is not None
        told = self.reason not in (None, Reason.SHUTDOWN) and self._told_at is not None
        return told and now - (self._told_at or now) > GRACE

    def _end_process(self) -> None:
        """Settle what the handler leaves, as far as Postgres answers, and end. Never returns."""
        last = threading.Timer(SETTLES_WITHIN, os._exit, [EXIT_STATUS])
        last.daemon = True
        last.start()
        try:
            notice("job.process_ended", job=self._job.pk, type=self._job.type, reason=self._reason, pid=os.getpid())
            self._settle()
            # Without its lease, what could not be settled is an orphan at once.
            WorkerProcess.objects.filter(pk=self._process).delete()
            lanes.ring_if_due(self._job.queue, now=timezone.now(), again=True)
            doorbell.wait_published(doorbell.LAST_WORDS)
            publishing.say_last_words()
            if self._session.connection is not None:
                # Postgres would go on with the handler's statement, and hold its locks, for nobody.
                self._session.connection.cancel_safe(timeout=1.0)
        except Exception as error:  # noqa: BLE001  to go on running is what must not happen
            what = type(error).__name__
            logger.warning("The process of job %s leaves its lease to run out (%s).", self._job.pk, what)
        finally:
            os._exit(EXIT_STATUS)

    def _settle(self) -> None:
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
                self._give_up_claim()
        except Error as error:
            what = type(error).__name__
            logger.warning("Job %s is left as it is by the process that ends (%s).", self._job.pk, what)

    def _give_up_claim(self) -> None:
        match self._reason:
            case Reason.SHUTDOWN:
                self._job.hand_back()
            case Reason.CANCELLED:
                self._job.finish_cancelled()
            case Reason.TIMEOUT if self._settle_timeout:
                self._settle_timeout(self._job)
