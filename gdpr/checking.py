"""Checking an archive that was made, before anybody gets it."""

from collections.abc import Callable
from typing import IO

from audit import signing
from gdpr import verify


class FaultyArchive(Exception):
    """An archive is not what it must be; the message tells the first fault. Whoever made it deletes it."""


def check(file: IO[bytes], *, advance: Callable[[int], object]) -> None:
    """Read an archive with the very verifier that is in it; `advance` as in `verify.verify`.

    Raises FaultyArchive for any fault, and for anything that could not be checked.
    """
    report = verify.verify(file, keys=signing.public_keys().values(), advance=advance)
    if report.status:
        found = [*map(str, report.faults), *report.unchecked]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise FaultyArchive(f"The archive is not as it must be, and was deleted: {found[0]}{more}")
