"""Where archives lie: a folder (EXPORT_STORAGE). A name appears there only with its whole file behind it."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from django.conf import settings

_OURS = re.compile(r"(\.)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]+\.zip(?(1)\.part)")
"""An archive is named for its job and attempt; a draft is hidden, and partial."""


@contextmanager
def draft(name: str) -> Iterator[IO[bytes]]:
    """An empty file to write to and read back, for `publish`; gone afterwards unless it was published."""
    folder = _folder()
    path = folder / f".{name}.part"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def publish(name: str, file: IO[bytes], *, advance: Callable[[int], None] = lambda _: None) -> None:
    """Give a draft its name, once all of it is on the disk. `advance` is told of its bytes."""
    file.flush()
    os.fsync(file.fileno())
    folder = _folder()
    (folder / f".{name}.part").replace(folder / name)
    _sync(folder)
    advance(file.tell())


def open_file(name: str) -> IO[bytes]:
    """A published file, to read."""
    return (_folder() / name).open("rb")


def holds(name: str) -> bool:
    """Whether a published file is here: a folder that machines do not share has only what was made on this one."""
    return (_folder() / name).is_file()


def delete(name: str) -> None:
    """Delete a published file; one that is gone is no error."""
    (_folder() / name).unlink(missing_ok=True)


def clear(stem: str) -> None:
    """Delete every file, draft or published, whose name begins with `stem`: what attempts that died left behind."""
    for path in [*_folder().glob(f".{stem}*"), *_folder().glob(f"{stem}*")]:
        path.unlink(missing_ok=True)


def strays(*, before: datetime) -> set[str]:
    """The names of archives and of drafts that nobody wrote to since `before`; files that are not ours are left out."""
    found = set()
    for path in _folder().iterdir():
        with suppress(FileNotFoundError):  # an export has just published or given up its draft
            if _OURS.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < before.timestamp():
                found.add(path.name)
    return found


def _sync(folder: Path) -> None:
    """Have the names in a folder survive a power cut: a file's own fsync says nothing of its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folder() -> Path:
    folder = Path(settings.EXPORT_STORAGE)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
