"""The state folder, and that one `up` at a time works in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent


class AlreadyUp(Exception):
    """Another `up` works in the same state folder."""


def state_folder() -> Path:
    """HYRELOG_HOME, or `.hyrelog` in the checkout; settings.py finds it the same way."""
    return Path(os.environ.get("HYRELOG_HOME") or CHECKOUT / ".hyrelog").absolute()


def make(home: Path) -> None:
    """Make the folder where it is missing; one that is there keeps its permissions, and so do all above it."""
    if not home.exists():
        home.mkdir(parents=True)
        # Root's servers run as somebody else, who passes through to their own folders and sees no more.
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Hold the folder's lock. The kernel lets go of it with the process, however that ends."""
    with (home / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUp(
                f"Another `up` is running in {home}: stop that one first, or choose another folder with HYRELOG_HOME."
            ) from None
        yield
