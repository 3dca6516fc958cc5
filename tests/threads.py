"""Several at once, each on a database connection of its own."""

import threading
from collections.abc import Callable

from django.db import connection

from tests.system import wait_until

# Not pg_stat_activity: within a transaction it says again and again what it said first.
_BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def begin(work: Callable[[], object]) -> threading.Thread:
    """Begin with it in a thread whose connection is closed in the end."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def begin_until_it_waits(work: Callable[[], object]) -> threading.Thread:
    """Begin with it, and wait until it waits for a lock that the caller's transaction holds; join it after that."""
    thread = begin(work)
    wait_until(somebody_waits_for_us, seconds=30, what="the thread waits for us")
    return thread


def at_once(count: int, work: Callable[[], object]) -> None:
    """Do it so many times at the same moment, and wait for all."""
    together = threading.Barrier(count)

    def run() -> None:
        together.wait()
        work()

    for thread in [begin(run) for _ in range(count)]:
        thread.join()


def somebody_waits_for_us() -> bool:
    """Whether another connection waits for a lock that this one holds."""
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKED)
        return bool(cursor.fetchone()[0])
