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
from enum import Enum

_file, _path = tempfile.mkstemp(prefix="hyrelog-slots-")
os.unlink(_path)  # noqa: PTH108  it lives on, nameless, as long as this process and its children
_processes = 1
_called = mmap.mmap(-1, 8)
"""Shared with the children, as the file is."""

ROOM = 1_000
"""Bytes of the file for each kind of slot."""
LONG, SENDING, WORKING = 0, 1, 2
ROOMY, FOR_JOBS = 5, 4
"""From so many processes on, senders leave two for jobs, up to so many: one company's keep not all others waiting."""


def divide(processes: int) -> None:
    """Say, in the parent, before it forks, how many processes there are to divide."""
    global _processes  # noqa: PLW0603  one worker, one division
    _processes = processes


@contextmanager
def sending() -> Iterator[bool]:
    """Hold a slot for sending; yields False where there is none, which those who hold one hear by `calls`."""
    most = _processes - 2 if _processes < ROOMY else max(2, _processes - 1 - FOR_JOBS)
    with _long(SENDING, most) as slot:
        if not slot:
            _called[:] = time.monotonic_ns().to_bytes(len(_called), "little")
        yield bool(slot)


def shared() -> bool:
    """Whether sending and jobs, or ticks, take turns in the same process: then nobody may keep it for long."""
    return _processes < 3


def calls() -> bytes:
    """What changes whenever somebody found no slot for sending: what he was called for is for those who hold one."""
    return _called[:]


class Slot(Enum):
    """A slot for jobs; the last one is for companies that have none."""

    NONE = 0
    ONE = 1
    LAST = 2

    def __bool__(self) -> bool:
        return self is not Slot.NONE


@contextmanager
def working() -> Iterator[Slot]:
    """Hold a slot for jobs; yields Slot.NONE where there is none."""
    with _long(WORKING, _processes - 2) as slot:
        yield slot


@contextmanager
def _long(kind: int, most: int) -> Iterator[Slot]:
    """Neither kind takes all: jobs leave two processes, one to senders, one to ticks; senders leave more, if they can.

    Of two processes, each kind has one, and ticks wait for either; of one, all take turns.
    """
    both = max(_processes - 1, min(_processes, 2))
    with _slot(kind, most) as one, _slot(LONG, both, wanted=bool(one)) as other:
        if not (one and other):
            yield Slot.NONE
        elif most > 1 and (one is Slot.LAST or other is Slot.LAST):
            yield Slot.LAST
        else:
            yield Slot.ONE


@contextmanager
def _slot(kind: int, limit: int, *, wanted: bool = True) -> Iterator[Slot]:
    places = range(kind * ROOM, kind * ROOM + max(1, limit))
    for place in places if wanted else ():
        try:
            fcntl.lockf(_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            continue
        try:
            yield Slot.LAST if place == places[-1] else Slot.ONE
        finally:
            fcntl.lockf(_file, fcntl.LOCK_UN, 1, place)
        return
    yield Slot.NONE
