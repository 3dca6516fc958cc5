"""Where the embedded servers keep their data, and as whom they run.

An ordinary user's servers run as that user, in the state folder. Postgres refuses to run as root, so root's servers
run as an account without rights. Where that account cannot reach the state folder (a checkout below a closed home),
the data moves to a folder of its own below ELSEWHERE. The folders above the state folder are never opened for it.
"""

import hashlib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

ELSEWHERE = Path("/var/lib/hyrelog-dev")
UNPRIVILEGED = "nobody"
SERVERS = ("postgres", "redis")
_RECORD = "servers-folder"
"""The file in the state folder that names the folder of the data, where that is elsewhere."""

Announce = Callable[[str], object]


class ServerFailed(Exception):
    """An embedded server cannot be started; the message tells what to do."""


class Identity(TypedDict, total=False):
    """What `subprocess` is told to run a process as another account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Hosting:
    """`home` is the state folder, `folder` holds the data, `uid` and `gid` own it and run the servers."""

    home: Path
    folder: Path
    uid: int
    gid: int

    @property
    def identity(self) -> Identity:
        """Empty for the account that we are already."""
        return {} if self.uid == os.geteuid() else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def data(self, server: str) -> Path:
        """The server's own folder, made where it is missing; closed to all but the account."""
        folder = self.folder / server
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(folder, self.uid, self.gid)
        elif folder.stat().st_uid != self.uid:
            raise ServerFailed(
                f"{folder} belongs to user {folder.stat().st_uid}, not to you ({self.uid}): run as that user or as "
                "root, or choose another state folder with HYRELOG_HOME."
            )
        folder.chmod(0o700)
        return folder


def find_hosting(home: Path, *, announce: Announce) -> Hosting:
    """The hosting chosen at an earlier start, or a new one; `home` is the state folder, which is there already."""
    as_root = os.geteuid() == 0
    home = home.resolve()
    record = home / _RECORD
    folder = Path(record.read_text(encoding="utf-8").strip()) if record.exists() else home
    if not as_root:
        return Hosting(home, folder, os.geteuid(), os.getegid())

    account = _account(folder)
    hosting = Hosting(home, folder, account.pw_uid, account.pw_gid)
    if can(hosting, "test", "-x", str(folder)):
        return hosting
    if any((folder / server).exists() for server in SERVERS):
        raise ServerFailed(
            f"The servers run as {account.pw_name}, who can no longer reach their data in {folder}: let others pass "
            "through the folders above it (chmod o+x), as they could when the data was made."
        )
    elsewhere = _make_elsewhere(home)
    record.write_text(f"{elsewhere}\n", encoding="utf-8")
    announce(f"{account.pw_name}, who runs the servers for root, cannot reach {home}: their data is in {elsewhere}.")
    return Hosting(home, elsewhere, account.pw_uid, account.pw_gid)


def can(hosting: Hosting, *command: str) -> bool:
    """Whether the account succeeds with a command, which is the one sure test of what it may reach."""
    try:
        return subprocess.run(command, cwd="/", capture_output=True, check=False, **hosting.identity).returncode == 0
    except PermissionError:
        return False


def open_elsewhere() -> Path:
    """ELSEWHERE itself: root's, and any account may pass through it."""
    ELSEWHERE.mkdir(exist_ok=True)
    ELSEWHERE.chmod(0o755)
    return ELSEWHERE


def _make_elsewhere(home: Path) -> Path:
    """A folder of the state folder's own; a new one each time, since a state folder made anew begins without data."""
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = Path(tempfile.mkdtemp(prefix=f"{digest}-", dir=open_elsewhere()))
    folder.chmod(0o755)
    return folder


def _account(folder: Path) -> pwd.struct_passwd:
    """Who owns the data that is there, so that what a user's servers wrote stays theirs; else UNPRIVILEGED."""
    owners = [(folder / server).stat().st_uid for server in SERVERS if (folder / server).exists()]
    try:
        return next((pwd.getpwuid(owner) for owner in owners if owner), None) or pwd.getpwnam(UNPRIVILEGED)
    except KeyError as missing:
        raise ServerFailed(
            f"The servers cannot run as root, and there is no such account as they need ({missing.args[0]}): "
            "add it, or set DATABASE_URL and REDIS_URL to servers of your own."
        ) from None
