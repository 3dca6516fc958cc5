"""Work of several clients at once, each on a database connection of its own."""

import threading
from collections.abc import Callable

from django.db import connection

from tests.system import wait_until


def in_threads(count: int, work: Callable[[], object]) -> None:
    """Have `count` threads do the work, and wait for all."""
    threads = [_thread(work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def start_until_it_waits(work: Callable[[], object]) -> threading.Thread:
    """A thread that does the work and waits for a lock, which the caller's transaction holds; join it after that."""
    thread = _thread(work)
    thread.start()
    wait_until(_somebody_waits, seconds=30, what="the thread waits for a lock")
    return thread


def _thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return threading.Thread(target=run)


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # within a transaction, what was seen once stays as it was
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(cursor.fetchone()[0])
