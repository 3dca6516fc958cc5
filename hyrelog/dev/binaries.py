"""The servers' executables, out of the wheels that carry them."""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from pathlib import Path

from hyrelog.dev.hosting import ELSEWHERE, Announce, Hosting, ServerFailed, can, open_elsewhere


def find_executable(hosting: Hosting, *, wheel: str, path: str, announce: Announce) -> Path:
    """The executable at `path` in a wheel's package, in a place from which the hosting's account can run it.

    The package is found, not imported: pgserver makes folders and locks when it is.
    """
    spec = importlib.util.find_spec(wheel)
    if spec is None or not spec.submodule_search_locations:
        raise ServerFailed(
            f"The embedded servers need the package {wheel}, which Python {platform.python_version()} lacks here "
            "(pgserver has wheels up to 3.12). Make .venv anew with `make clean` and `make run PYTHON=python3.12`, "
            "or set DATABASE_URL and REDIS_URL to servers of your own."
        )
    package = Path(spec.submodule_search_locations[0])
    return reachable(hosting, package, importlib.metadata.version(wheel), announce=announce) / path


def reachable(hosting: Hosting, package: Path, version: str, *, announce: Announce) -> Path:
    """The package's folder, or a copy of it where the account cannot enter the original."""
    if can(hosting, "test", "-x", str(package)):
        return package
    digest = hashlib.sha256(os.fsencode(package)).hexdigest()[:16]
    copy = ELSEWHERE / f"{package.name}-{version}-{digest}"
    if not copy.exists():
        announce(f"The account that runs the servers cannot reach {package}: a copy goes to {copy}.")
        _copy(package, copy)
    return copy / package.name


def _copy(package: Path, copy: Path) -> None:
    """Copy the package and, beside it, the libraries that its executables look for there."""
    staging = Path(tempfile.mkdtemp(dir=open_elsewhere()))
    try:
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, staging / part.name, ignore=shutil.ignore_patterns("include", "*.a", "*.py*"))
        for each in (staging, *staging.rglob("*")):
            each.chmod(0o755)  # whatever the original's permissions were
        staging.rename(copy)  # whole or not at all
    except OSError:
        shutil.rmtree(staging)
        if not copy.exists():  # nobody else made it in the meantime
            raise
