"""A file that an operator names: it appears whole or not at all, and never in place of another."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass
class NewFile:
    """Under a hidden name until it is published; only this account may read it."""

    path: Path
    hidden: Path
    file: IO[bytes]
    published: bool = False

    def finish(self) -> None:
        """Have all that was written outlast a power cut; it can then be opened anew by its hidden name."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def publish(self) -> None:
        """Give it its name. Raises FileExistsError if something has got that name meanwhile."""
        self.path.touch(mode=0o600, exist_ok=False)  # to rename alone would replace whatever is there
        self.published = True
        self.hidden.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """An empty file beside `path`, to write to and read back. If anything is raised, there is none, published or not.

    Raises FileExistsError if there is something at `path`, and other OSErrors where the folder takes no file.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already.")
    descriptor, hidden = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    with os.fdopen(descriptor, "w+b") as file:
        new = NewFile(path, Path(hidden), file)
        try:
            yield new
        except BaseException:
            if new.published:
                path.unlink(missing_ok=True)
            raise
        finally:
            new.hidden.unlink(missing_ok=True)
