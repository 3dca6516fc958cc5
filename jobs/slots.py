"""How many of a worker's processes one kind of long task may hold at once, so that the others' turn always comes.

A slot is a byte of a file, locked by the process that holds it. The kernel gives it back when that process ends,
however it ends: a semaphore would be lost with a killed child.
"""

import fcntl
import mmap
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

_file, _path = tempfile.mkstemp(prefix="hyrelog-slots-")
os.unlink(_path)  # noqa: PTH108  it lives on, nameless, as long as this process and its children
_processes = 1
_called = mmap.mmap(-1, 8)
"""Shared with the children, as the file is."""

ROOM = 1_000
"""Bytes of the file for each kind of slot."""
LONG, SENDING, WORKING = 0, 1, 2


def divide(processes: int) -> None:
    """Say, in the parent, before it forks, how many processes there are to divide."""
    global _processes  # noqa: PLW0603  one worker, one division
    _processes = processes


@contextmanager
def sending() -> Iterator[bool]:
    """Hold a slot for sending; yields False where there is none, which those who hold one hear by `calls`."""
    with _long(SENDING) as mine:
        if not mine:
            _called[:] = time.monotonic_ns().to_bytes(len(_called), "little")
        yield mine


def shared() -> bool:
    """Whether sending and jobs, or ticks, take turns in the same process: then nobody may keep it for long."""
    return _processes < 3


def calls() -> bytes:
    """What changes whenever somebody found no slot for sending: what he was called for is for those who hold one."""
    return _called[:]


@contextmanager
def working() -> Iterator[bool]:
    """Hold a slot for jobs; yields False where there is none."""
    with _long(WORKING) as mine:
        yield mine


@contextmanager
def _long(kind: int) -> Iterator[bool]:
    """Neither kind takes all: each leaves two processes, one to the other kind and one to the ticks.

    Of two processes, each kind has one, and ticks wait for either; of one, all take turns.
    """
    with _slot(kind, _processes - 2) as one, _slot(LONG, max(_processes - 1, min(_processes, 2)), wanted=one) as other:
        yield one and other


@contextmanager
def _slot(kind: int, limit: int, *, wanted: bool = True) -> Iterator[bool]:
    places = range(kind * ROOM, kind * ROOM + max(1, limit)) if wanted else ()
    for place in places:
        try:
            fcntl.lockf(_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            continue
        try:
            yield True
        finally:
            fcntl.lockf(_file, fcntl.LOCK_UN, 1, place)
        return
    yield False
