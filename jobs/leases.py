"""The lease of a worker process: one row, renewed every 10 s by a thread of the process that it stands for.

A process that stops (killed, hung as a whole, cut off from Postgres) lets its lease run out after 30 s by the
database's clock; what it had claimed is then taken back by any other.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence

from django.db import Error, connection

from jobs.models import WorkerProcess

RENEW_EVERY = 10.0
"""Seconds; a third of the lease, so that two renewals may fail."""

logger = logging.getLogger(__name__)


class ProcessLease:
    """Keeps the calling process registered; `beat`, if given, is called in the thread after each renewal."""

    def __init__(self, *, queues: list[str], types: Sequence[str] = (), beat: Callable[[], None] | None = None) -> None:
        self._queues = queues
        self._types = list(types)
        self._beat = beat
        self._process_id: uuid.UUID | None = None
        self._not_ended: set[uuid.UUID] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew, in a thread; Postgres may be away for now."""
        self._thread.start()

    def stop(self) -> None:
        """End the lease at once, so that nobody waits for it to run out."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.give_up(self._process_id)

    def give_up(self, process_id: uuid.UUID | None) -> None:
        """Let go of whatever was claimed under an id, after a failure that leaves it unsettled.

        The claims are orphans then, taken back by any process; this one goes on under a new id. An id that is not in
        use any more is no reason to end the one that is.
        """
        with self._lock:
            if self._process_id == process_id:
                self._process_id = None
        if process_id:
            self._end(process_id)

    @property
    def process_id(self) -> uuid.UUID:
        """The row to claim for. Raises django.db.Error if there is none yet and Postgres is away."""
        with self._lock:
            if self._process_id is None:
                self._process_id = WorkerProcess.objects.register(queues=self._queues, types=self._types).id
            return self._process_id

    def renew(self) -> None:
        """Extend the lease, or begin a new one under a new id if it has run out."""
        for given_up in tuple(self._not_ended):
            self._not_ended.discard(given_up)
            self._end(given_up)
        process_id = self.process_id
        if not WorkerProcess.objects.renew(process_id):
            logger.warning("The lease of this process had run out; its claims are lost. It goes on under a new one.")
            self.give_up(process_id)
            _ = self.process_id

    def _end(self, process_id: uuid.UUID) -> None:
        try:
            WorkerProcess.objects.filter(pk=process_id).delete()
        except Error:
            connection.close()
            self._not_ended.add(process_id)
            logger.warning("Could not end the lease of process %s: the next renewal tries again.", process_id)

    def _run(self) -> None:
        while True:
            try:
                self.renew()
                if self._beat:
                    self._beat()
            except Error as error:
                logger.warning("The lease could not be renewed (%s); trying again.", type(error).__name__)
                connection.close()
            except Exception:
                # This thread must outlive whatever goes wrong in it: without it the process is taken for dead.
                logger.exception("The lease could not be renewed; trying again in %d s.", RENEW_EVERY)
                connection.close()
            if self._ended.wait(RENEW_EVERY):
                connection.close()
                return
