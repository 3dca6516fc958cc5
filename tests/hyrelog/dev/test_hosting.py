import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hyrelog.dev.binaries import reachable
from hyrelog.dev.hosting import ELSEWHERE, ServerFailed, can, find_hosting
from hyrelog.dev.redis import Redis
from tests.hyrelog.dev.workshop import Workshop
from tests.servers import QuickPostgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root's servers run as somebody else")


def modes_above(folder: Path) -> list[int]:
    return [stat.S_IMODE(each.stat().st_mode) for each in folder.parents]


@pytest.fixture
def closed() -> Iterator[Path]:
    """A state folder below one that only its owner enters, such as a home."""
    with tempfile.TemporaryDirectory(prefix="hyrelog-closed-") as above:
        assert stat.S_IMODE(Path(above).stat().st_mode) == 0o700
        home = Path(above) / "checkout" / ".hyrelog"
        home.mkdir(parents=True)
        yield home


@as_root
def test_below_a_closed_folder_the_data_goes_elsewhere_and_the_folder_stays_closed(closed: Path) -> None:
    before = modes_above(closed)
    workshop = Workshop(closed)
    try:
        first = workshop.started()
        workshop.started(Redis)
        with psycopg.connect(first.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1")
        first.stop()
        second = workshop.started(remembered=first.url)

        with psycopg.connect(second.url) as connection:
            assert connection.execute("SELECT * FROM kept").fetchone() == (1,)
        assert second.data.is_relative_to(ELSEWHERE)
        assert second.data.stat().st_uid != 0
        assert any(str(second.hosting.folder) in note for note in workshop.notes)
        assert modes_above(closed) == before
    finally:
        workshop.clear()


@as_root
def test_data_that_was_closed_off_later_is_not_silently_replaced(closed: Path) -> None:
    (closed / "postgres").mkdir()
    with pytest.raises(ServerFailed, match="chmod o\\+x"):
        find_hosting(closed, announce=print)


@as_root
def test_roots_servers_run_without_rights(workshop: Workshop) -> None:
    for kind in (QuickPostgres, Redis):
        process = workshop.started(kind).process
        assert process is not None
        assert 0 not in process.uids()
        assert 0 not in process.gids()


@as_root
def test_a_users_data_stays_the_users(home: Path) -> None:
    (home / "redis").mkdir()
    os.chown(home / "redis", 1, 1)
    assert find_hosting(home, announce=print).uid == 1


@as_root
def test_binaries_that_the_account_cannot_reach_are_copied(closed: Path, home: Path) -> None:
    hosting = find_hosting(home, announce=print)
    wheel = closed / "pgserver"
    (wheel / "bin").mkdir(parents=True)
    (closed / "pgserver.libs").mkdir()
    (closed / "pgserver.libs" / "lib.so").touch()
    shutil.copy2("/bin/true", wheel / "bin" / "postgres")
    notes: list[str] = []

    package = reachable(hosting, wheel, "test", announce=notes.append)

    try:
        assert can(hosting, str(package / "bin" / "postgres"))
        assert can(hosting, "test", "-r", str(package.parent / "pgserver.libs" / "lib.so"))
        assert package.is_relative_to(ELSEWHERE)
        assert any(str(package.parent) in note for note in notes)
        assert reachable(hosting, wheel, "test", announce=notes.append) == package
    finally:
        shutil.rmtree(package.parent)


@as_root
def test_another_users_data_is_refused_with_a_reason(home: Path) -> None:
    home.chmod(0o755)
    hosting = find_hosting(home, announce=print)
    hosting.data("redis").chmod(0o755)
    script = (
        "from pathlib import Path; import sys; from hyrelog.dev.hosting import find_hosting, ServerFailed\n"
        "try: find_hosting(Path(sys.argv[1]), announce=print).data('redis')\n"
        "except ServerFailed as failure: print(failure)"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, str(home)],
        user=1,
        group=1,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "HYRELOG_HOME" in done.stdout
