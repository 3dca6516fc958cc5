"""Processes that may not be our children: finding, watching and ending them."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil


def find(program: str, *, argument: str, uid: int) -> psutil.Process | None:
    """The one that runs `program` with this argument as this user; a pid file would only say what once was."""

    def is_meant(process: psutil.Process) -> bool:
        arguments = process.info["cmdline"] or [""]
        uids = process.info["uids"]
        return Path(arguments[0]).name == program and argument in arguments and bool(uids) and uids.real == uid

    found = [process for process in psutil.process_iter(["cmdline", "uids", "create_time"]) if is_meant(process)]
    # A child that Postgres has only just forked still bears its parent's arguments.
    return min(found, key=lambda process: process.info["create_time"], default=None)


def exit_status(process: psutil.Process) -> int | None:
    """None while it runs; negative for a signal; 0 where it is not ours, so that nobody can know.

    Another's zombie counts as dead: the first process of some containers never buries any.
    """
    try:
        return process.wait(timeout=0) or 0
    except psutil.TimeoutExpired:
        with suppress(psutil.NoSuchProcess):
            return 0 if process.status() == psutil.STATUS_ZOMBIE and process.ppid() != os.getpid() else None
        return 0


def end(process: psutil.Process, endings: Iterable[tuple[signal.Signals, float]]) -> None:
    """Send one signal after the other, each followed by the seconds it is given, until the process is gone."""
    for ending, seconds in endings:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(ending)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if exit_status(process) is not None:
                return
            time.sleep(0.02)
