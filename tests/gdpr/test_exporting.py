"""The job that makes an export's archive."""

import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit import signing
from gdpr import storage, verify
from gdpr.models import ExportArchive
from gdpr.requesting import request_export
from jobs import context
from jobs.leases import ProcessLease
from jobs.models import Job, JobLog, WorkerProcess
from jobs.rescuing import rescue
from tests.conftest import Tenant, draft, open_tenant
from tests.gdpr.making import alter, remove
from tests.jobs.steps import claim, run_next
from tests.system import wait_until
from tests.threads import begin, somebody_waits_for_us

Work = Callable[..., Job]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def asked(tenant: Tenant) -> Job:
    """An export of three events and a request, with the table."""
    tenant.record(draft(), draft(), draft())
    return ask(tenant)


@pytest.fixture
def work(lease: ProcessLease) -> Work:
    def run(*, stopping: Callable[[], bool] = lambda: False) -> Job:
        assert run_next(lease, queue="exports", stopping=stopping)
        return Job.objects.latest("id")

    return run


@pytest.fixture
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler tells is written each time, not once a second."""
    monkeypatch.setattr(context, "LOOK_EVERY", 0.0)


def between_checks(act: Callable[[], object]) -> Callable[[], bool]:
    """Have `act` called each time that the handler looks whether it should end; the watch, in its thread, is let be."""

    def look() -> bool:
        if threading.current_thread() is threading.main_thread():
            act()
        return False

    return look


def ask(tenant: Tenant) -> Job:
    now = timezone.now()
    return request_export(company=tenant.company, scope="company", csv=True, requested_by="a test", now=now)[0].job


def manifest_of(archive: ExportArchive) -> dict[str, Any]:
    with storage.open_file(archive.file) as file, zipfile.ZipFile(file) as opened:
        found: dict[str, Any] = json.loads(opened.read("manifest.json"))
    return found


def test_what_is_published_passes_its_own_verifier_and_is_on_record(asked: Job, work: Work, folder: Path) -> None:
    job = work()
    assert job.status == "COMPLETED", job.error
    archive = job.archive
    report = verify.verify(folder / archive.file, keys=signing.public_keys().values())
    assert (report.status, report.events) == (0, 4)
    manifest = manifest_of(archive)
    assert (archive.counts, archive.checkpoint) == (manifest["counts"], manifest["checkpoint"])
    assert manifest["request"]["jobId"] == str(job.id)
    assert manifest["attempt"] == 1
    assert job.result == {"bytes": archive.size, "sha256": archive.sha256, "counts": archive.counts}


def test_an_export_is_made_where_each_statement_is_a_transaction_of_its_own(
    committed: None, lease: ProcessLease, folder: Path
) -> None:
    tenant = open_tenant("Acme")
    tenant.record(draft())
    ask(tenant)
    run_next(lease, queue="exports")
    job = Job.objects.get()
    assert job.status == "COMPLETED", job.error + job.traceback


def test_an_altered_event_fails_the_export_with_the_reason_and_leaves_no_file(
    asked: Job, tenant: Tenant, work: Work, folder: Path
) -> None:
    alter(tenant.workspace.events.get(seq=2), payload={"n": "another"})
    job = work()
    assert job.status == "FAILED"
    assert f"workspace {tenant.workspace.id}, seq 2" in job.error
    assert "its content was altered" in job.error
    assert list(folder.iterdir()) == []
    assert not ExportArchive.objects.exists()


def test_a_missing_event_fails_the_export_at_once_with_the_reason(
    asked: Job, tenant: Tenant, work: Work, folder: Path
) -> None:
    remove(tenant.workspace.events.get(seq=2))
    job = work()
    assert (job.status, job.attempt) == ("FAILED", 1)
    assert f"workspace {tenant.workspace.id} is broken at seq 2" in job.error
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("step", ["counting", "audit_auditevent", "describing", "hashing", "publishing", "verifying"])
def test_an_export_that_is_cancelled_in_any_phase_leaves_nothing(
    asked: Job, work: Work, folder: Path, told_at_once: None, step: str
) -> None:
    def cancel_there() -> None:
        if Job.objects.get().step == step:
            Job.objects.filter(cancel_requested_at=None).update(cancel_requested_at=timezone.now())

    job = work(stopping=between_checks(cancel_there))
    assert job.status == "CANCELLED"
    assert list(folder.iterdir()) == []
    assert not ExportArchive.objects.exists()


def test_progress_is_shown_in_rows_and_bytes(asked: Job, work: Work, told_at_once: None) -> None:
    shown: list[tuple[float, dict[str, int]]] = []

    def look() -> None:
        job = Job.objects.get()
        if job.result:
            shown.append((job.progress, job.result))

    work(stopping=between_checks(look))
    fractions = [fraction for fraction, _ in shown]
    assert fractions == sorted(fractions)
    assert 0.5 < fractions[-1] < 1
    last = shown[-1][1]
    assert last.keys() == {"rows", "bytes", "expectedRows", "expectedBytes"}
    assert last["rows"] == last["expectedRows"] > 8
    assert last["bytes"] > 1_000


def test_an_export_whose_process_died_begins_anew_and_says_so(
    asked: Job, lease: ProcessLease, work: Work, folder: Path
) -> None:
    claim(lease, now=timezone.now(), queue="exports")
    folder.mkdir()
    for left in (f".{asked.id}-1.zip.part", f"{asked.id}-1.zip"):
        (folder / left).write_bytes(b"half")
    row = WorkerProcess.objects.values().get(pk=lease.process_id)
    WorkerProcess.objects.all().delete()
    assert rescue("exports", now=timezone.now()) == 1
    WorkerProcess.objects.create(**row)
    job = work()
    assert job.status == "COMPLETED", job.error
    assert manifest_of(job.archive)["attempt"] == 2
    assert JobLog.objects.get().text == "Attempt 1 ended with its process; the export begins anew."
    assert [path.name for path in folder.iterdir()] == [job.archive.file]


def test_a_storage_that_fails_is_tried_again_and_the_tenant_reads_no_folder_s_name(
    asked: Job, work: Work, folder: Path
) -> None:
    folder.write_text("no folder")
    job = work()
    assert (job.status, job.attempt) == ("PENDING", 1)
    assert job.error == "The storage of archives failed; the operators of HyreLog see the details."
    assert str(folder) in job.traceback
    folder.unlink()
    Job.objects.update(run_at=timezone.now())
    job = work()
    assert job.status == "COMPLETED"
    assert JobLog.objects.get().text == "Attempt 1 failed; the export begins anew."


def test_a_published_file_that_was_damaged_on_its_way_is_deleted(
    asked: Job, work: Work, folder: Path, told_at_once: None
) -> None:
    def damage() -> None:
        if Job.objects.get().step == "publishing":
            path = folder / f".{asked.id}-1.zip.part"
            data = bytearray(path.read_bytes())
            data[len(data) // 3] ^= 1
            path.write_bytes(data)

    job = work(stopping=between_checks(damage))
    assert job.status == "FAILED"
    assert job.error.startswith("The archive is not as it must be, and was deleted: ")
    assert list(folder.iterdir()) == []


class HeldChain:
    """A company's system chain that another connection holds until somebody has waited for it in vain, or longer."""

    def __init__(self, tenant: Tenant) -> None:
        self.refused, self.free = threading.Event(), threading.Event()
        self._held = threading.Event()
        self._thread = begin(lambda: self._hold(tenant))
        assert self._held.wait(10)

    def _hold(self, tenant: Tenant) -> None:
        with transaction.atomic():
            tenant.company.system_workspace.chain_head.lock()
            self._held.set()
            wait_until(somebody_waits_for_us, seconds=30, what="somebody waits")
            wait_until(lambda: not somebody_waits_for_us(), seconds=30, what="nobody waits any more")
            self.refused.set()
            self.free.wait(30)

    def end(self) -> None:
        self.free.set()
        self._thread.join()


def test_an_archive_is_put_on_record_once_the_system_chain_is_free_again(
    committed: None, lease: ProcessLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.models.company.PATIENCE", "200ms")
    tenant = open_tenant("Acme")
    asked = ask(tenant)
    chain = HeldChain(tenant)
    chain.free.set()
    assert run_next(lease, queue="exports")
    chain.end()
    asked.refresh_from_db()
    assert chain.refused.is_set()
    assert (asked.status, asked.attempt) == ("COMPLETED", 1)
    assert ExportArchive.objects.count() == 1


def test_a_worker_that_stops_while_the_system_chain_is_busy_leaves_no_file(
    committed: None, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.models.company.PATIENCE", "200ms")
    tenant = open_tenant("Acme")
    ask(tenant)
    chain = HeldChain(tenant)
    job = work(stopping=chain.refused.is_set)
    chain.end()
    assert (job.status, job.attempt) == ("PENDING", 0)
    assert list(folder.iterdir()) == []
