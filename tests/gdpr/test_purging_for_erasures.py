"""Archives that may hold an erased person: gone before the erasure is completed."""

import hashlib
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import AuditEvent, Company
from gdpr import storage
from gdpr.erasures.archives import ArchivesRemain, purge
from gdpr.models import Erasure, ExportArchive
from gdpr.requesting import request_export
from gdpr.storage import StorageUnavailable
from gdpr.subjects import Subject
from jobs.models import Job
from tests.conftest import Tenant, open_tenant
from tests.gdpr.erasing import at_work
from tests.threads import begin_until_it_waits

BOB = Subject(actor_ids=("bob",))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports"


def ask(company: Company, subject: Subject | None = None, *, status: str = "COMPLETED") -> Job:
    """An export whose job has ended, or not."""
    scope, now = ("subject" if subject else "company"), timezone.now()
    asked, _ = request_export(company=company, scope=scope, subject=subject, requested_by="a test", now=now)
    ended = {"completed_at": now} if status in {"COMPLETED", "FAILED"} else {}
    held = {"claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()} if status == "PROCESSING" else {}
    Job.objects.filter(pk=asked.job_id).update(status=status, **ended, **held)
    return Job.objects.get(pk=asked.job_id)


def publish(name: str) -> None:
    with storage.draft(name) as file:
        file.write(b"Ada")
        storage.publish(name, file)


def archive_of(company: Company, subject: Subject | None = None, *, at: datetime | None = None) -> ExportArchive:
    job = ask(company, subject)
    name = f"{job.pk}-1.zip"
    publish(name)
    return ExportArchive.objects.create(
        company=company,
        job=job,
        scope=job.export_request.scope,
        file=name,
        size=3,
        sha256=hashlib.sha256(b"Ada").hexdigest(),
        counts={},
        created_at=at or timezone.now(),
        expires_at=timezone.now() + timedelta(days=7),
    )


def purged(company: Company) -> list[dict[str, Any]]:
    events = AuditEvent.objects.filter(company=company, action="gdpr.export.purged").order_by("seq")
    return [event.payload or {} for event in events]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def erasure_of(tenant: Tenant) -> Erasure:
    return at_work(tenant.company)


def test_all_archives_of_the_company_are_deleted_and_that_is_told(
    tenant: Tenant, other_tenant: Tenant, folder: Path
) -> None:
    mine = [archive_of(tenant.company), archive_of(tenant.company, BOB)]
    theirs = archive_of(other_tenant.company)
    erasure, now = erasure_of(tenant), timezone.now()
    assert purge(erasure, now=now) == 2
    assert files(folder) == {theirs.file}
    reason = f"erasure {erasure.pk}"
    assert purged(tenant.company) == [{"jobId": str(one.job_id), "reason": reason} for one in mine]
    for one in mine:
        one.refresh_from_db()
        assert (one.status, one.downloadable(now=now)) == ("EXPIRED", False)
    assert purge(erasure, now=now) == 0
    erasure.refresh_from_db()
    assert erasure.counts == {"gdpr_exportarchive": 2}
    assert len(purged(tenant.company)) == 2
    assert purged(other_tenant.company) == []


def test_what_had_ended_before_and_is_still_there_is_deleted_too(tenant: Tenant, folder: Path) -> None:
    ended = archive_of(tenant.company)
    ExportArchive.objects.filter(pk=ended.pk).update(status="EXPIRED", purging="expired")
    assert purge(erasure_of(tenant), now=timezone.now()) == 0
    assert files(folder) == set()
    assert purged(tenant.company) == [{"jobId": str(ended.job_id), "reason": "expired"}]


def test_what_exports_left_behind_is_deleted_but_not_what_one_writes_now(
    tenant: Tenant, other_tenant: Tenant, folder: Path
) -> None:
    left = [ask(tenant.company, status="FAILED"), ask(tenant.company, BOB, status="PENDING")]
    runs = ask(tenant.company, status="PROCESSING")
    theirs = ask(other_tenant.company, status="FAILED")
    kept = {f".{runs.pk}-1.zip.part", f"{theirs.pk}-1.zip", f"{uuid.uuid4()}-1.zip", "notes.txt"}
    gone = {f".{left[0].pk}-1.zip.part", f"{left[0].pk}-2.zip", f"{left[1].pk}-1.zip"}
    for name in kept | gone:
        (folder / name).write_bytes(b"Ada")
    assert purge(erasure_of(tenant), now=timezone.now()) == 0
    assert files(folder) == kept


def test_a_storage_that_fails_is_named_and_nothing_is_handed_out_meanwhile(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise StorageUnavailable("The bucket does not answer.")

    archive, erasure, now = archive_of(tenant.company), erasure_of(tenant), timezone.now()
    stray = f"{ask(tenant.company, BOB, status='FAILED').pk}-1.zip"
    publish(stray)
    with monkeypatch.context() as broken:
        broken.setattr(storage, "delete", refuse)
        with pytest.raises(ArchivesRemain, match="Files in EXPORT_STORAGE that may hold an erased") as raised:
            purge(erasure, now=now)
    assert archive.file in str(raised.value)
    assert stray in str(raised.value)
    archive.refresh_from_db()
    assert not archive.downloadable(now=now)
    assert purged(tenant.company) == []
    assert purge(erasure, now=now) == 0
    assert files(folder) == set()
    assert purged(tenant.company) == [{"jobId": str(archive.job_id), "reason": f"erasure {erasure.pk}"}]


def test_one_that_cannot_be_deleted_keeps_no_other(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives, delete = [archive_of(tenant.company), archive_of(tenant.company, BOB)], storage.delete

    def refuse_the_first(name: str) -> None:
        if name == archives[0].file:
            raise StorageUnavailable("It is locked.")
        delete(name)

    monkeypatch.setattr(storage, "delete", refuse_the_first)
    with pytest.raises(ArchivesRemain, match=f"now: {archives[0].file}. "):
        purge(erasure_of(tenant), now=timezone.now())
    assert files(folder) == {archives[0].file}


def test_a_file_that_may_be_on_another_machine_is_not_said_to_be_deleted(tenant: Tenant, folder: Path) -> None:
    archive, erasure = archive_of(tenant.company), erasure_of(tenant)
    elsewhere = (folder / archive.file).rename(folder.parent / archive.file)
    with pytest.raises(ArchivesRemain, match=rf"{archive.file}\. If they lie .* put an empty file of each name there"):
        purge(erasure, now=timezone.now())
    assert purged(tenant.company) == []
    erasure.refresh_from_db()
    assert erasure.counts == {}
    elsewhere.rename(folder / archive.file)
    assert purge(erasure, now=timezone.now()) == 1
    assert files(folder) == set()


def test_a_file_that_is_missing_once_a_backup_was_restored_is_gone(tenant: Tenant, folder: Path) -> None:
    archive, erasure = archive_of(tenant.company), erasure_of(tenant)
    (folder / archive.file).unlink()
    assert purge(erasure, now=timezone.now(), restored=True) == 1
    archive.refresh_from_db()
    assert (archive.status, archive.purging) == ("EXPIRED", "")
    assert purged(tenant.company) == [{"jobId": str(archive.job_id), "reason": "missing"}]
    erasure.refresh_from_db()
    assert erasure.counts == {}  # those of before stay


def test_an_archive_that_is_being_put_on_record_is_met(committed: None, folder: Path) -> None:
    tenant = open_tenant("Acme")
    erasure, counted = erasure_of(tenant), []
    with transaction.atomic():
        tenant.company.system_workspace.chain_head.lock()  # as whoever puts it on record does
        archive = archive_of(tenant.company)
        thread = begin_until_it_waits(lambda: counted.append(purge(erasure, now=timezone.now())))
    thread.join()
    assert counted == [1]
    archive.refresh_from_db()
    assert archive.status == "EXPIRED"
    assert files(folder) == set()
