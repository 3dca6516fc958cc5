"""`manage.py gdpr_export` that is ended before its end: no file is left, and no traceback is shown."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings

from audit.models import AuditEvent
from tests.conftest import Tenant, open_tenant
from tests.system import ROOT, wait_until

SOON = 60
"""Seconds: a new process, and patience with a busy machine."""
WAITING = "SELECT pid FROM pg_locks WHERE relation = 'gdpr_downloadlink'::regclass AND NOT granted"


def url() -> str:
    """Of the test's own database."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{settings.DATABASES['default']['NAME']}").geturl()


@dataclass
class Caught:
    """The command, in the middle of reading: it waits for a table that the test has locked."""

    process: subprocess.Popen[str]
    blocker: "psycopg.Connection[tuple[int]]"
    server_process: int
    tenant: Tenant
    file: Path

    def ended(self) -> tuple[int, str]:
        """Its exit status, and the last line that it says."""
        said = self.process.communicate(timeout=SOON)[0]
        assert "Traceback" not in said
        return self.process.returncode, said.splitlines()[-1]

    def actions(self) -> list[str]:
        events = AuditEvent.objects.filter(workspace=self.tenant.company.system_workspace)
        return list(events.order_by("seq").values_list("action", flat=True))


@pytest.fixture
def caught(committed: None, tmp_path: Path) -> Iterator[Caught]:
    tenant, file = open_tenant("Acme"), tmp_path / "acme.zip"
    tenant.record()
    with psycopg.connect(url()) as blocker:
        blocker.execute("LOCK TABLE gdpr_downloadlink IN ACCESS EXCLUSIVE MODE")
        process = start(tenant, file)
        try:
            (server_process,) = wait_until(
                lambda: blocker.execute(WAITING).fetchone(), seconds=SOON, what="the command at the locked table"
            )
            (draft,) = tmp_path.iterdir()
            assert draft.name.startswith(".acme.zip.")
            yield Caught(process, blocker, server_process, tenant, file)
        finally:
            process.kill()
            process.wait()


def start(tenant: Tenant, file: Path, *more: str, under: Sequence[str] = ()) -> "subprocess.Popen[str]":
    arguments = ["--company", str(tenant.company.id), "--output", str(file)]
    return subprocess.Popen(
        [*under, sys.executable, "manage.py", "gdpr_export", *arguments, *more],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": url()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_leaves_no_file(number: signal.Signals, caught: Caught) -> None:
    caught.process.send_signal(number)
    assert caught.ended() == (1, f"CommandError: Interrupted; {caught.file} was not written.")
    assert list(caught.file.parent.iterdir()) == []
    assert caught.actions() == ["gdpr.export.requested"]


def test_a_database_that_goes_away_leaves_no_file(caught: Caught) -> None:
    caught.blocker.execute("SELECT pg_terminate_backend(%s)", [caught.server_process])
    reason = "terminating connection due to administrator command"
    assert caught.ended() == (1, f"CommandError: {caught.file} was not written: {reason}")
    assert list(caught.file.parent.iterdir()) == []


def test_a_file_that_has_come_up_meanwhile_stays_as_it_is(caught: Caught) -> None:
    caught.file.write_bytes(b"somebody else's")
    caught.blocker.rollback()
    reason = "exists already, and was left as it is; name another file."
    assert caught.ended() == (1, f"CommandError: {caught.file} {reason}")
    assert [path.read_bytes() for path in caught.file.parent.iterdir()] == [b"somebody else's"]
    assert caught.actions() == ["gdpr.export.requested"]


def test_a_disk_that_takes_no_more_is_told_and_leaves_no_file(committed: None, tmp_path: Path) -> None:
    tenant, file = open_tenant("Acme"), tmp_path / "acme.zip"
    process = start(tenant, file, under=["sh", "-c", 'ulimit -f 4; exec "$@"', "sh"])
    said = process.communicate(timeout=SOON)[0].splitlines()
    assert (process.returncode, said[-1]) == (1, f"CommandError: {file} cannot be written: File too large.")
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_has_an_exit_status_of_its_own(committed: None, tmp_path: Path) -> None:
    process = start(open_tenant("Acme"), tmp_path / "acme.zip", "--subject", "ada")
    said = process.communicate(timeout=SOON)[0]
    assert process.returncode == 2
    assert said.splitlines()[-1].endswith("'ada' is not of the form email=ada@example.com or actorId=u1")
