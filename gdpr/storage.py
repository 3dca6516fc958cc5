"""Where archives lie: a folder (EXPORT_STORAGE). A name appears there only with its whole file behind it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from django.conf import settings


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


def publish(name: str, file: IO[bytes]) -> None:
    """Give a draft its name, once all of it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    (_folder() / f".{name}.part").replace(_folder() / name)


def open_file(name: str) -> IO[bytes]:
    """A published file, to read."""
    return (_folder() / name).open("rb")


def delete(name: str) -> None:
    """Delete a published file; one that is gone is no error."""
    (_folder() / name).unlink(missing_ok=True)


def clear(stem: str) -> None:
    """Delete every file, draft or published, whose name begins with `stem`: what attempts that died left behind."""
    for path in [*_folder().glob(f".{stem}*"), *_folder().glob(f"{stem}*")]:
        path.unlink(missing_ok=True)


def delete_strays(*, known: set[str], before: datetime) -> int:
    """Delete the files that nobody has on record and nobody wrote to since `before`; says how many."""
    old = [path for path in _folder().iterdir() if path.name not in known and path.stat().st_mtime < before.timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _folder() -> Path:
    folder = Path(settings.EXPORT_STORAGE)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
