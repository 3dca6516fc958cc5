"""Processes that end with the one that started them, even where that one is killed with SIGKILL."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(ending: signal.Signals) -> Callable[[], None]:
    """What a child runs between fork and exec, so that the kernel sends it `ending` once its parent is dead.

    The kernel watches the thread that forks: start children from a thread that lives as long as they should. Linux
    only; elsewhere the child outlives a killed parent, and the next start adopts or replaces it.
    """
    if sys.platform != "linux":
        return _do_nothing
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: nothing may be loaded after it
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, int(ending), 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was armed
            os._exit(1)

    return arm


def _do_nothing() -> None:
    pass
