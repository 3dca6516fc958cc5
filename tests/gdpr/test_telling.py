"""What is told of exports: events of the company's `system` workspace, and e-mails."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.models import AuditEvent, ChainHead, Company
from audit.models.company import ChainBusy
from gdpr import storage
from gdpr.models import ExportArchive, ExportRequest
from gdpr.requesting import request_export
from gdpr.subjects import Subject
from gdpr.telling import MOST_REASON, told_failed
from jobs import dying
from jobs.leases import ProcessLease
from jobs.mailing import EMAIL
from jobs.models import Job
from jobs.rescuing import rescue
from tests.api import Api
from tests.conftest import NOON, Tenant
from tests.jobs.steps import claim, run_next

ADA = {"actorId": "u1", "email": "ada@example.com"}
Work = Callable[[], Job]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def work(lease: ProcessLease) -> Work:
    def run() -> Job:
        assert run_next(lease, queue="exports")
        return Job.objects.filter(queue="exports").latest("id")

    return run


@pytest.fixture(autouse=True)
def contact(tenant: Tenant) -> None:
    tenant.company.contact_email = "dpo@acme.example"
    tenant.company.save()


def ask(tenant: Tenant, subject: Any = None) -> ExportRequest:
    person = Subject.read(subject) if subject else None
    scope = "subject" if subject else "company"
    asked, _ = request_export(
        company=tenant.company, scope=scope, subject=person, requested_by="a test", now=timezone.now()
    )
    return asked


def events(action: str) -> list[dict[str, Any]]:
    return [event.payload or {} for event in AuditEvent.objects.filter(action=action).order_by("seq")]


def letters() -> list[dict[str, Any]]:
    return [job.payload for job in Job.objects.filter(type=EMAIL).order_by("id")]


def test_a_ready_archive_is_told_without_a_link(api: Api, tenant: Tenant, work: Work) -> None:
    asked = ask(tenant)
    archive = work().archive
    (ready,) = events("gdpr.export.ready")
    shown = api.get(f"/v1/key/company/gdpr/exports/{asked.job_id}").json()["archive"]
    expected = {"bytes": archive.size, "sha256": archive.sha256, "expiresAt": shown["expiresAt"]}
    assert ready == {"jobId": str(asked.job_id), "scope": "company", **expected}
    (letter,) = letters()
    assert letter["to"] == "dpo@acme.example"
    assert letter["subject"] == "HyreLog: Your export is ready"
    assert str(asked.job_id) in letter["text"]
    assert archive.sha256 in letter["text"]
    assert "/downloads/" not in letter["text"]


def fail(tenant: Tenant, error: str, subject: Any = None) -> Job:
    """An export of which the last attempt fails, as a worker settles it."""
    asked = ask(tenant, subject)
    Job.objects.filter(pk=asked.job_id).update(status="FAILED", completed_at=timezone.now(), error=error)
    job = Job.objects.brief().get(pk=asked.job_id)
    with transaction.atomic():
        dying.died([job], now=timezone.now())
    return job


def test_a_failed_export_is_told_with_the_reason_and_the_due_date(tenant: Tenant) -> None:
    job = fail(tenant, "The archive {differs} from its manifest.")
    assert events("gdpr.export.failed") == [
        {"jobId": str(job.id), "scope": "company", "reason": "The archive {differs} from its manifest."}
    ]
    (letter,) = letters()
    assert letter["subject"] == "HyreLog: Your export has failed"
    assert "The archive {differs} from its manifest." in letter["text"]
    assert f"due on {ExportRequest.objects.get().due_at:%Y-%m-%d}" in letter["text"]


def test_a_long_reason_is_cut(tenant: Tenant) -> None:
    fail(tenant, "x" * 100_000)
    assert len(events("gdpr.export.failed")[0]["reason"]) == MOST_REASON


def test_an_export_that_fails_for_good_is_told_by_the_worker_and_by_the_rescue(
    tenant: Tenant, work: Work, lease: ProcessLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "publish", full)
    ask(tenant)
    Job.objects.filter(queue="exports").update(max_attempts=1)
    assert work().status == "FAILED"
    ask(tenant)
    Job.objects.filter(queue="exports").update(max_attempts=1)
    claim(lease, now=timezone.now(), queue="exports")
    lease.give_up(lease.process_id)
    assert rescue("exports", now=timezone.now()) == 1
    told = events("gdpr.export.failed")
    assert [fact["reason"].split()[0] for fact in told] == ["The", "lost:"]
    assert len(letters()) == 2


def test_a_retry_is_no_failure(tenant: Tenant, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "publish", None)
    ask(tenant)
    assert work().status == "PENDING"
    assert events("gdpr.export.failed") == letters() == []


def test_without_a_contact_there_are_events_and_no_letters(tenant: Tenant, work: Work) -> None:
    Company.objects.update(contact_email="")
    ask(tenant)
    work()
    assert len(events("gdpr.export.ready")) == 1
    assert letters() == []


def test_nothing_that_is_told_names_the_person(tenant: Tenant, work: Work) -> None:
    ask(tenant, ADA)
    work()
    fail(tenant, "No space left on device", ADA)
    system = AuditEvent.objects.filter(workspace=tenant.company.system_workspace)
    told = json.dumps([event.payload for event in system] + letters())
    assert "ada@" not in told
    assert '"u1"' not in told
    assert "subject" in told


def test_a_job_that_nobody_requested_fails_in_silence(tenant: Tenant) -> None:
    job = Job.objects.create(
        company=tenant.company,
        type="gdpr.export",
        queue="exports",
        run_at=NOON,
        max_attempts=1,
        status="FAILED",
        completed_at=NOON,
    )
    told_failed(job, NOON)
    assert events("gdpr.export.failed") == []


# --- Purging -----------------------------------------------------------------------------------------------------


def test_an_archive_that_is_over_is_purged_and_that_is_an_event(tenant: Tenant, work: Work, folder: Path) -> None:
    asked = ask(tenant)
    archive = work().archive
    assert ExportArchive.objects.expire(now=archive.expires_at - timedelta(seconds=1)) == 0
    assert ExportArchive.objects.expire(now=archive.expires_at) == 1
    assert ExportArchive.objects.expire(now=archive.expires_at) == 0
    assert list(folder.iterdir()) == []
    assert events("gdpr.export.purged") == [{"jobId": str(asked.job_id), "reason": "expired"}]


def test_an_archive_whose_file_is_elsewhere_was_not_purged(tenant: Tenant, work: Work, folder: Path) -> None:
    ask(tenant)
    archive = work().archive
    elsewhere = (folder / archive.file).rename(folder.parent / archive.file)
    assert ExportArchive.objects.expire(now=archive.expires_at) == 0
    assert events("gdpr.export.purged") == []
    elsewhere.rename(folder / archive.file)
    assert ExportArchive.objects.expire(now=archive.expires_at) == 1
    assert len(events("gdpr.export.purged")) == 1


def test_a_busy_company_keeps_no_file_and_is_told_later_and_once(
    tenant: Tenant, other_tenant: Tenant, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = []
    for one in (tenant, other_tenant):
        ask(one)
        archives.append(work().archive)
    busy, lock = tenant.company.system_workspace.pk, ChainHead.lock

    def lock_unless_busy(head: ChainHead) -> None:
        if head.pk == busy:
            raise ChainBusy
        lock(head)

    with monkeypatch.context() as patch:
        patch.setattr(ChainHead, "lock", lock_unless_busy)
        assert ExportArchive.objects.expire(now=archives[1].expires_at) == 2
    assert list(folder.iterdir()) == []
    assert [fact["jobId"] for fact in events("gdpr.export.purged")] == [str(archives[1].job_id)]
    for _ in range(2):
        assert ExportArchive.objects.expire(now=archives[1].expires_at) == 0
    assert [fact["jobId"] for fact in events("gdpr.export.purged")] == [str(one.job_id) for one in reversed(archives)]


def test_a_file_that_cannot_be_deleted_is_not_told_as_purged_before_it_is_gone(
    tenant: Tenant, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tenant)
    archive = work().archive

    def refuse(_: str) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", refuse)
        assert archive.expire(now=timezone.now(), reason="an operator's decision")
        assert ExportArchive.objects.expire(now=timezone.now()) == 0
    assert archive.purging
    assert not archive.downloadable(now=timezone.now())
    assert (events("gdpr.export.purged"), [path.name for path in folder.iterdir()]) == ([], [archive.file])
    for _ in range(2):
        assert ExportArchive.objects.expire(now=timezone.now()) == 0
    assert list(folder.iterdir()) == []
    assert [fact["reason"] for fact in events("gdpr.export.purged")] == ["an operator's decision"]


def test_one_that_died_between_deleting_and_telling_is_told_later(tenant: Tenant, work: Work, folder: Path) -> None:
    ask(tenant)
    archive = work().archive
    ExportArchive.objects.update(status="EXPIRED", purging="expired")
    (folder / archive.file).unlink()
    ExportArchive.objects.expire(now=timezone.now())
    assert [fact["reason"] for fact in events("gdpr.export.purged")] == ["expired"]


def test_a_purge_that_is_not_committed_deletes_no_file(
    committed: None, tenant: Tenant, work: Work, folder: Path
) -> None:
    ask(tenant)
    archive = work().archive
    with pytest.raises(RuntimeError), transaction.atomic():
        archive.expire(now=timezone.now())
    assert (folder / archive.file).is_file()
    assert archive.expire(now=timezone.now(), reason="an operator's decision")
    assert events("gdpr.export.purged")[0]["reason"] == "an operator's decision"


def test_all_that_an_export_leaves_in_the_chain_is_verified(committed: None, tenant: Tenant, work: Work) -> None:
    ask(tenant, ADA)
    archive = work().archive
    archive.expire(now=timezone.now())
    actions = AuditEvent.objects.filter(workspace=tenant.company.system_workspace).order_by("seq")
    assert [event.action.rsplit(".", 1)[1] for event in actions] == ["requested", "ready", "purged"]
    assert connection.in_atomic_block is False
