"""Where archives lie: a folder, or a bucket of S3-compatible storage (EXPORT_STORAGE, `STORAGES["exports"]`).

A name appears there only with its whole file behind it.
"""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import IO, Any, Protocol, cast

from django.core.files.storage import storages

_OURS = re.compile(r"(\.)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]+\.zip(?(1)\.part)")
"""An archive is named for its job and attempt; a draft is hidden, and partial."""

LEDGERS = "erasure-"
"""What the names of ledgers of erasures begin with: these lie beside the archives, and are kept."""
_LEDGER = re.compile(LEDGERS + r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.ndjson")

LOOK_EVERY = 0.2
"""Seconds between two calls of `advance`."""

Advance = Callable[[int], None]
"""Told how many more bytes are in the storage, several times a second; what it raises ends the publishing."""


class StorageUnavailable(OSError):
    """The storage of archives did not do what was asked of it: the text names the place and the rule, and no secret."""


class ArchiveStorage(Protocol):
    """What archives ask of a storage: Django's own interface, and drafts, which it lacks.

    Each method raises StorageUnavailable, or another OSError.
    """

    def exists(self, name: str) -> bool: ...

    def delete(self, name: str) -> None:
        """A file or a draft; one that is gone is no error."""

    def open(self, name: str, mode: str = "rb") -> Any:
        """Raises FileNotFoundError."""

    def draft(self, name: str) -> AbstractContextManager[IO[bytes]]: ...

    def publish(self, name: str, file: IO[bytes], *, advance: Advance) -> None: ...

    def listing(self, stem: str) -> Iterator[tuple[str, datetime]]:
        """Files whose names begin with `stem`, and when each was last written to; drafts are called `.<name>.part`."""

    def may_be_elsewhere(self, name: str) -> bool: ...

    def reach(self) -> None:
        """Raise where archives could not be kept."""


def draft_name(name: str) -> str:
    """What a file is called until it is published."""
    return f".{name}.part"


@contextmanager
def naming_full_disk(folder: str) -> Iterator[None]:
    """Raise StorageUnavailable where the disk that holds drafts is full: the system's own error names no folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        rule = "make room there, or name another folder (EXPORT_STORAGE, or TMPDIR where archives go to S3)"
        raise StorageUnavailable(f"The disk of {folder}, where archives are written, is full: {rule}.") from error


def draft(name: str) -> AbstractContextManager[IO[bytes]]:
    """An empty file on this machine to write to and read back, for `publish`; gone afterwards unless it was published.

    A full disk is a StorageUnavailable that names its folder.
    """
    return _storage().draft(name)


def publish(name: str, file: IO[bytes], *, advance: Advance = lambda _: None) -> None:
    """Give a draft its name, once the storage has all of it. What `advance` raises comes through within two seconds."""
    _storage().publish(name, file, advance=advance)


def open_file(name: str) -> IO[bytes]:
    """A published file, to read and to seek in; raises FileNotFoundError. Reads cost about what they read."""
    return cast("IO[bytes]", _storage().open(name, "rb").file)


def holds(name: str) -> bool:
    """Whether a published file is here: a folder that machines do not share has only what was made on this one."""
    return _storage().exists(name)


def may_be_elsewhere(name: str) -> bool:
    """Whether a file is not here, but may be on another machine: a folder may not be shared, a bucket always is."""
    return _storage().may_be_elsewhere(name)


def delete(name: str) -> None:
    """Delete a published file, or a draft that `strays` named; one that is gone is no error."""
    _storage().delete(name)


def clear(stem: str) -> None:
    """Delete every file, draft or published, whose name begins with `stem`: what attempts that died left behind."""
    for name, _ in _storage().listing(stem):
        delete(name)


def strays(*, before: datetime) -> set[str]:
    """The names of archives and of drafts that nobody wrote to since `before`; files that are not ours are left out."""
    return {name for name, written_at in _storage().listing("") if written_at < before and _OURS.fullmatch(name)}


def ledgers() -> list[str]:
    """The names of the published ledgers of erasures (gdpr.erasures.ledger), in order."""
    return sorted(name for name, _ in _storage().listing(LEDGERS) if _LEDGER.fullmatch(name))


def reach() -> None:
    """Raise OSError where archives could not be kept; StorageUnavailable says why."""
    _storage().reach()


def _storage() -> ArchiveStorage:
    return cast("ArchiveStorage", storages["exports"])
