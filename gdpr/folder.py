"""Archives in a folder: publishing is one rename."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from gdpr.storage import LOOK_EVERY, Advance, StorageUnavailable, draft_name, naming_full_disk


class Folder(FileSystemStorage):
    """The folder that EXPORT_STORAGE names, closed to other users."""

    @property
    def base_location(self) -> str:
        """Named by its setting at each use, so that it is told in one place."""
        return str(settings.EXPORT_STORAGE)

    @property
    def location(self) -> str:
        return str(Path(self.base_location).absolute())

    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:
        path = self._folder() / draft_name(name)
        try:
            with naming_full_disk(self.location), open(path, "w+b", opener=_for_this_user) as file:
                yield file
        finally:
            path.unlink(missing_ok=True)

    def publish(self, name: str, file: IO[bytes], *, advance: Advance) -> None:
        file.flush()
        _write_through(file.fileno(), advance=advance)
        advance(os.fstat(file.fileno()).st_size)
        folder = self._folder()
        (folder / draft_name(name)).replace(folder / name)
        _sync(folder)

    def listing(self, stem: str) -> Iterator[tuple[str, datetime]]:
        for path in list(self._folder().iterdir()):
            with suppress(FileNotFoundError):  # an export has just published or given up its draft
                if path.name.removeprefix(".").startswith(stem) and path.is_file():
                    yield path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def may_be_elsewhere(self, name: str) -> bool:
        return not self.exists(name)

    def reach(self) -> None:
        folder = Path(self.location)
        # Whoever looks makes no folder: made by another account, it would be of no use to the workers.
        present = next(path for path in (folder, *folder.parents) if path.exists())
        if not (present.is_dir() and os.access(present, os.R_OK | os.W_OK | os.X_OK)):
            raise StorageUnavailable(
                f"{present} is no folder that this account may read and write; {folder} needs one."
            )

    def _folder(self) -> Path:
        folder = Path(self.location)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def _for_this_user(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_through(descriptor: int, *, advance: Advance) -> None:
    """Have the disk hold a file; gigabytes take a while, in which `advance` may raise."""
    thread = ThreadPoolExecutor(1, "fsync")
    written = thread.submit(os.fsync, descriptor)
    thread.shutdown(wait=False)
    while not wait([written], timeout=LOOK_EVERY).done:
        advance(0)
    written.result()


def _sync(folder: Path) -> None:
    """Have the names in a folder survive a power cut: a file's own fsync says nothing of its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
