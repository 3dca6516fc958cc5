"""A worker that makes an export is killed in the middle of it: what comes of it in the end is the same archive."""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.crashes.steps import LEASE_AND_MORE, let_run_out, processes_killed
from tests.system import System, running_system, wait_until

EVENTS = 20_000
RECORD = f"""
from django.db import transaction
from django.utils import timezone
from audit import recording
from audit.drafts import Draft
from audit.models import Workspace
workspace = Workspace.objects.get(pk="%s")
for start in range(0, {EVENTS}, 1000):
    drafts = [Draft(action="a", category="b", payload={{"n": n}}) for n in range(start, start + 1000)]
    with transaction.atomic():
        recording.record(workspace=workspace, drafts=drafts, now=timezone.now())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[System]:
    with running_system(EXPORT_STORAGE=str(folder)) as system:
        yield system


def ask(system: System) -> str:
    return str(system.post("/v1/key/company/gdpr/export", {"scope": "company"})["jobId"])


def finished(system: System, folder: Path, job: str) -> Path:
    """The archive of an export, once it is there."""

    def status() -> str:
        return str(system.get(f"/v1/key/company/gdpr/exports/{job}")["status"])

    wait_until(lambda: status() == "COMPLETED", seconds=4 * LEASE_AND_MORE, what="an archive", state=status)
    (archive,) = folder.glob(f"*{job}*")
    return archive


def is_begun(draft: Path) -> bool:
    return draft.exists() and draft.stat().st_size > 0


def events(archive: Path, workspace: str) -> list[bytes]:
    with zipfile.ZipFile(archive) as opened:
        lines = opened.read("data/audit_auditevent.ndjson").splitlines()
    return [line for line in lines if f'"workspace_id":"{workspace}"'.encode() in line]


def test_an_export_killed_three_times_holds_the_same_events_as_one_that_was_left_alone(
    system: System, folder: Path
) -> None:
    workspace = system.sql("SELECT id::text FROM audit_workspace WHERE name <> 'system' ORDER BY id LIMIT 1")[0][0]
    system.manage("shell", "--verbosity", "0", "-c", RECORD % workspace)
    job = ask(system)
    for attempt in (1, 2, 3):
        draft = folder / f".{job}-{attempt}.zip.part"
        wait_until(partial(is_begun, draft), seconds=LEASE_AND_MORE, what=f"{draft}")
        with processes_killed(system) as leases:
            let_run_out(system, leases)
    killed = finished(system, folder, job)
    outcomes = system.sql("SELECT outcome FROM jobs_jobattempt WHERE job_id = %s ORDER BY number", job)
    assert [outcome for (outcome,) in outcomes] == ["lost", "lost", "lost", "completed"]
    said = [text for (text,) in system.sql("SELECT text FROM jobs_joblog WHERE job_id = %s ORDER BY id", job)]
    assert said == [f"Attempt {n} ended with its process; the export begins anew." for n in (1, 2, 3)]
    left_alone = finished(system, folder, ask(system))
    assert len(events(killed, workspace)) >= EVENTS
    assert events(killed, workspace) == events(left_alone, workspace)
    assert not list(folder.glob(".*"))
