"""How much memory a process took."""

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
IS_KNOWN = _STATUS.exists()
"""Whether this system tells: Linux does. What `getrusage` tells includes the process from which this one was forked."""


def peak() -> int:
    """The most bytes of memory that this process had at a time (VmHWM)."""
    found = re.search(r"^VmHWM:\s+([0-9]+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    assert found
    return int(found[1]) * 1024
