"""How the children of a prefork worker learn that it was asked to stop: one byte of memory that they share.

Celery waits on a warm shutdown for running tasks and does not tell them; a task that lasts looks here.
"""

import mmap

_asked = mmap.mmap(-1, 1)
"""Anonymous shared memory: made before the fork, seen by every child, gone with the last of them."""


def ask() -> None:
    """Say, in the parent, that every long task should come to an end; said twice, that there is no time left."""
    _asked[0] = min(_asked[0] + 1, 2)


def forget() -> None:
    """Start afresh: a new worker begins in this process."""
    _asked[0] = 0


def asked() -> bool:
    """Whether this worker was asked to stop."""
    return _asked[0] > 0


def in_a_hurry() -> bool:
    """Whether it was asked once more."""
    return _asked[0] > 1
