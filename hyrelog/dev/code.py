"""Watching the code of the checkout: which Python files have changed."""

from collections.abc import Sequence
from pathlib import Path

from watchfiles import PythonFilter, watch

SHOWN = 3
"""Changed files that are named at the most."""
_LOOK_MILLISECONDS = 10


class Code:
    """The Python files in some folders.

    It is asked again and again, and waits for nothing: a thread of its own would be one that `up` forks from.
    """

    def __init__(self, folders: Sequence[Path], *, root: Path) -> None:
        self._root = root
        self._changed: set[Path] = set()
        self._is_code = PythonFilter()
        # Filtered in there, a file that is written all the time would keep it from ever answering.
        self._changes = watch(
            *folders,
            watch_filter=None,
            debounce=_LOOK_MILLISECONDS,
            step=_LOOK_MILLISECONDS,
            rust_timeout=_LOOK_MILLISECONDS,
            yield_on_timeout=True,
        )
        self.changed()

    def changed(self) -> list[Path]:
        """The files that have changed, once no other has since the last question; relative, in order."""
        found = next(self._changes)
        if new := {Path(path).relative_to(self._root) for kind, path in found if self._is_code(kind, path)}:
            self._changed |= new
            return []
        changed, self._changed = sorted(self._changed), set()
        return changed


def our_apps(checkout: Path) -> list[Path]:
    """The folders whose code the processes run."""
    return sorted(file.parent for file in checkout.glob("*/apps.py"))


def naming(files: Sequence[Path]) -> str:
    """The files for a reader: the first few by name."""
    named = ", ".join(str(file) for file in files[:SHOWN])
    return f"{named} and {len(files) - SHOWN} more" if len(files) > SHOWN else named
