"""What crashes are made of, and how what is left is looked at."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import requests

from tests.system import System

SOON = 30
"""Seconds: a poll, new processes, and patience with a busy machine."""


def kill(system: System, name: str) -> None:
    """End a process, and for workers all of its children, without a word of warning."""
    pid = system.run["pids"][name]
    if name in {"postgres", "redis"}:
        os.kill(pid, signal.SIGKILL)
    else:
        os.killpg(pid, signal.SIGKILL)


@contextmanager
def processes_killed(system: System) -> Iterator[list[str]]:
    """The worker's processes are dead, and none takes their place before the end; the leases that they leave behind."""
    worker = psutil.Process(system.run["pids"]["worker"])
    worker.suspend()
    try:
        processes = worker.children()
        for process in processes:
            process.kill()
        pids = [process.pid for process in processes]
        yield [lease for (lease,) in system.sql("SELECT id::text FROM jobs_workerprocess WHERE pid = ANY(%s)", pids)]
    finally:
        worker.resume()


def leases_of_workers(system: System) -> list[str]:
    """Those that the worker's processes hold now."""
    return [lease for (lease,) in system.sql("SELECT id::text FROM jobs_workerprocess")]


def let_run_out(system: System, leases: list[str]) -> None:
    """Let the time pass that a lease lasts."""
    system.sql("UPDATE jobs_workerprocess SET lease_expires_at = now() WHERE id::text = ANY(%s)", leases)


def waiting_for(system: System, blocker: "psycopg.Connection[Any]", statement: str) -> Callable[[], list[int]]:
    """The server's processes that wait, in a statement that begins so, for a lock of `blocker`.

    It has to have begun since the newest delivery came due: one that began before does not take it.
    """
    look = (
        "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid)) AND ltrim(query, E' \\n') LIKE %s "
        "AND query_start > (SELECT created_at FROM webhooks_webhookdelivery ORDER BY id DESC LIMIT 1)"
    )
    return lambda: [pid for (pid,) in system.sql(look, blocker.info.backend_pid, f"{statement}%")]


def rows(system: System, webhook: dict[str, Any], columns: str) -> Callable[[], set[tuple[Any, ...]]]:
    statement = (
        f"SELECT {columns} FROM webhooks_webhookdelivery AS delivery "
        "LEFT JOIN webhooks_webhookattempt AS attempt ON attempt.delivery_id = delivery.id "
        "WHERE delivery.webhook_id = %s"
    )
    return lambda: set(system.sql(statement, webhook["id"]))


def is_ready(system: System) -> bool:
    try:
        return requests.get(system.run["web"] + "/readyz", timeout=10).ok
    except OSError:
        return False
