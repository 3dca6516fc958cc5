"""Exports beside erasures: nothing that was read before a person was erased is handed out after that."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from audit.models import AuditEvent
from gdpr import handlers, storage, verify
from gdpr.erasures import holds
from gdpr.management.commands import gdpr_export
from gdpr.models import ExportArchive
from gdpr.requesting import request_export
from gdpr.telling import tell
from jobs import context
from jobs.leases import ProcessLease
from jobs.models import Job, JobLog
from tests.conftest import NOON, Tenant, draft, open_tenant
from tests.gdpr.erasing import PSEUDONYM, at_work, done, erase
from tests.jobs.steps import run_next
from tests.threads import begin_until_it_waits

WAITS = "An erasure of this company is at work, or was while the export was read: it has to begin anew after that."
STEPS = ["audit_auditevent", "describing", "verifying"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler tells is written each time, not once a second."""
    monkeypatch.setattr(context, "LOOK_EVERY", 0.0)


@pytest.fixture
def asked(tenant: Tenant) -> Job:
    tenant.record(draft(), draft(), draft())
    return ask(tenant)


def ask(tenant: Tenant) -> Job:
    now = timezone.now()
    return request_export(company=tenant.company, scope="company", requested_by="a test", now=now)[0].job


def work(lease: ProcessLease, *, at_step: str = "", act: Callable[[], object] = lambda: None) -> Job:
    """Run the export that is due; `act` is called once when it gets to a step."""
    acted: list[str] = []

    def look() -> bool:
        if threading.current_thread() is threading.main_thread() and not acted:
            step = Job.objects.filter(type="gdpr.export").latest("id").step
            if at_step and step == at_step:
                acted.append(step)
                act()
        return False

    Job.objects.filter(type="gdpr.export", status="PENDING").update(run_at=timezone.now())
    assert run_next(lease, queue="exports", stopping=look)
    assert bool(acted) == bool(at_step)
    return Job.objects.filter(type="gdpr.export").latest("id")


def assert_gave_way(job: Job, folder: Path) -> None:
    assert (job.status, job.attempt, job.error) == ("PENDING", 0, "")
    assert not folder.exists() or list(folder.iterdir()) == []
    assert not ExportArchive.objects.exists()


def test_an_export_waits_for_an_erasure_that_is_at_work_and_says_so_once(
    asked: Job, tenant: Tenant, lease: ProcessLease, folder: Path
) -> None:
    erasure = at_work(tenant.company)
    for _ in range(3):
        job = work(lease)
        assert_gave_way(job, folder)
        assert (job.run_at - timezone.now()).total_seconds() > 20
    assert [line.text for line in JobLog.objects.filter(job=job)] == [WAITS]
    done(erasure)
    assert work(lease).status == "COMPLETED"


def test_an_erasure_that_waits_or_another_company_s_keeps_no_export(
    asked: Job, tenant: Tenant, other_tenant: Tenant, lease: ProcessLease
) -> None:
    at_work(tenant.company, status="PENDING")
    at_work(other_tenant.company)
    assert work(lease).status == "COMPLETED"


def test_an_erasure_whose_job_looks_whether_its_hold_is_lifted_keeps_no_export(
    asked: Job, tenant: Tenant, lease: ProcessLease
) -> None:
    at_work(tenant.company)
    holds.place(company=tenant.company, subject=None, reason="A claim.", placed_by="op", now=NOON)
    assert work(lease).status == "COMPLETED"


@pytest.mark.parametrize("step", STEPS)
def test_an_export_that_met_an_erasure_begins_anew(
    asked: Job, tenant: Tenant, lease: ProcessLease, folder: Path, step: str
) -> None:
    event = tenant.workspace.events.get(seq=2)
    job = work(lease, at_step=step, act=lambda: erase(event))
    assert_gave_way(job, folder)
    job = work(lease)
    assert job.status == "COMPLETED", job.error
    assert PSEUDONYM.encode() in contents(job.archive)


def contents(archive: ExportArchive) -> bytes:
    with storage.open_file(archive.file) as file:
        report = verify.verify(file)
        assert report.erased_events == 1
        return b"".join(verify._Zip(file).chunks(verify.EVENTS))


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_that_found_no_event_counts_too(
    asked: Job, tenant: Tenant, lease: ProcessLease, folder: Path, step: str
) -> None:
    job = work(lease, at_step=step, act=lambda: tell(tenant.company, "gdpr.erasure.completed", now=NOON))
    assert_gave_way(job, folder)
    assert work(lease).status == "COMPLETED"


@pytest.mark.parametrize("step", STEPS)
def test_an_export_gives_way_to_an_erasure_that_begins(
    asked: Job, lease: ProcessLease, folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "LOOK_EVERY", 0.0)
    assert asked.company
    erased = asked.company
    assert_gave_way(work(lease, at_step=step, act=lambda: at_work(erased)), folder)


def test_no_number_of_erasures_makes_an_export_fail(
    asked: Job, tenant: Tenant, lease: ProcessLease, folder: Path
) -> None:
    Job.objects.update(max_attempts=1)
    event = tenant.workspace.events.get(seq=2)
    for _ in range(5):
        assert_gave_way(work(lease, at_step="audit_auditevent", act=lambda: erase(event)), folder)
    assert work(lease).status == "COMPLETED"


def test_other_events_of_the_system_are_no_reason(asked: Job, tenant: Tenant, lease: ProcessLease) -> None:
    def tell_others() -> None:
        tell(tenant.company, "gdpr.erasure.requested", now=NOON)
        tenant.record(draft(action="gdpr.erased"))

    assert work(lease, at_step="verifying", act=tell_others).status == "COMPLETED"


def test_an_erasure_that_records_while_the_archive_is_put_on_record_comes_first_or_last(
    committed: None, lease: ProcessLease, folder: Path
) -> None:
    """The head of the chain decides: whoever erases holds it, and the export that waits for it sees the record."""
    tenant = open_tenant("Acme")
    (event,) = tenant.record(draft())
    asked = ask(tenant)
    with transaction.atomic():
        erase(event)
        export = begin_until_it_waits(lambda: run_next(lease, queue="exports"))
    export.join()
    asked.refresh_from_db()
    assert_gave_way(asked, folder)
    assert work(lease).status == "COMPLETED"


def test_the_command_gives_way_too(committed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = open_tenant("Acme")
    (event,) = tenant.record(draft())
    export = ["gdpr_export", "--company", str(tenant.company.pk), "--output", str(tmp_path / "x.zip")]
    erasure = at_work(tenant.company)
    with pytest.raises(CommandError, match="was not written: An erasure of this company is at work"):
        call_command(*export)
    assert not AuditEvent.objects.filter(action="gdpr.export.requested").exists()
    done(erasure)
    for name in ("make", "check"):
        before = getattr(gdpr_export, name)

        def act(*given: Any, before: Any = before, **named: Any) -> Any:
            made = before(*given, **named)
            erase(event)
            return made

        with monkeypatch.context() as patched:
            patched.setattr(gdpr_export, name, act)
            with pytest.raises(CommandError, match="was not written: An erasure of this company is at work"):
                call_command(*export)
    assert list(tmp_path.glob("*.zip")) == []
    assert not AuditEvent.objects.filter(action="gdpr.export.written").exists()
    call_command(*export)
    assert (tmp_path / "x.zip").exists()
