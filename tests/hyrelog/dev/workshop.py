import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from hyrelog.dev.hosting import find_hosting
from hyrelog.dev.server import Server
from tests.servers import QuickPostgres

T = TypeVar("T")


class Workshop:
    """Makes servers in one state folder, and clears away whatever they leave."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.notes: list[str] = []
        self._made: list[Server] = []

    def server(self, kind: type[Server] = QuickPostgres, *, remembered: str = "") -> Server:
        hosting = find_hosting(self.home, announce=self.notes.append)
        made = kind(hosting, remembered=remembered, announce=self.notes.append)
        if not remembered:  # far from other runs on this machine, which would take the port between two starts
            made.port = random.randint(20_000, 30_000)  # noqa: S311 - no secret
        self._made.append(made)
        return made

    def started(self, kind: type[Server] = QuickPostgres, *, remembered: str = "") -> Server:
        made = self.server(kind, remembered=remembered)
        made.start()
        return made

    def clear(self) -> None:
        for made in self._made:
            made.stop()
            if made.hosting.folder != self.home:
                shutil.rmtree(made.hosting.folder, ignore_errors=True)


def until(condition: Callable[[], T], *, seconds: float = 20) -> T:
    """What the condition returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.02)
    return outcome


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
