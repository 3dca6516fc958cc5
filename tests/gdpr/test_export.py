import json
import os
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from audit.personal_data import covered
from gdpr import storage
from gdpr.models import ExportArchive, ExportRequest
from gdpr.requesting import DAY
from jobs.context import JobContext
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.api import Api
from tests.conftest import Tenant, draft
from tests.gdpr.making import alter
from tests.jobs.steps import run_next
from webhooks.models import Webhook

EXPORTS = "/v1/key/company/gdpr/exports"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    return tmp_path / "exports"


def request(api: Api, **headers: str) -> Any:
    return api.post("/v1/key/company/gdpr/export", {"scope": "company"}, **headers)


@pytest.fixture
def work(lease: ProcessLease) -> Callable[..., Job]:
    def run(*, stopping: Callable[[], bool] = lambda: False) -> Job:
        assert run_next(lease, queue="exports", stopping=stopping)
        return Job.objects.latest("id")

    return run


Work = Callable[..., Job]


def contents(archive: ExportArchive) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """The manifest, and the rows of each table."""
    with storage.open_file(archive.file) as file, zipfile.ZipFile(file) as sealed:
        manifest = json.loads(sealed.read("manifest.json"))
        rows = {
            listed["table"]: [json.loads(line) for line in sealed.read(listed["name"]).splitlines()]
            for listed in manifest["files"]
            if listed["name"].endswith(".ndjson")
        }
    return manifest, rows


def test_an_export_holds_every_row_of_the_company_and_none_of_another(
    api: Api, tenant: Tenant, other_tenant: Tenant, work: Work
) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record(*[draft(payload={"text": 'é\n"😀', "n": 0.1}) for _ in range(30)])
    other_tenant.record(draft(actor={"id": "foreign"}))
    assert request(api).status_code == 202
    expected = {}
    for table in covered():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table.table} WHERE {table.company_column} = %s", [tenant.company.id])
            expected[table.table] = cursor.fetchone()[0]
    expected["jobs_jobattempt"] = 1  # the one that makes it
    job = work()
    assert job.status == "COMPLETED", job.error
    manifest, rows = contents(job.archive)
    assert manifest["counts"] == expected == {table: len(found) for table, found in rows.items()}
    assert expected["audit_auditevent"] == 31  # the request is an event too
    assert expected["webhooks_webhookdelivery"] == 31
    assert "foreign" not in json.dumps(rows)
    first = next(row for row in rows["audit_auditevent"] if row["seq"] == 1 and row["action"] == "user.login")
    assert first["payload"] == {"text": 'é\n"😀', "n": 0.1}


def test_secrets_are_redacted_with_the_reason(api: Api, tenant: Tenant, work: Work) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    request(api)
    manifest, rows = contents(work().archive)
    assert "encrypted_secret" not in rows["webhooks_webhook"][0]
    assert "digest" not in rows["audit_apikey"][0]
    assert manifest["redactions"]["webhooks_webhook"]["encrypted_secret"]
    assert {"secrets", "follow_up"} <= manifest["redactions"]["jobs_job"].keys()
    assert manifest["excluded"]["jobs_workerprocess"]
    assert manifest["request"]["requestedBy"].startswith("API key company (hlk_")


def test_a_second_request_while_one_is_under_way_is_answered_with_that_one(api: Api, work: Work) -> None:
    first, second = request(api), request(api)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["jobId"] == second.json()["jobId"]
    assert set(first.json()) == {"jobId", "status", "scope", "companyId", "message", "createdAt"}
    work()
    assert request(api).json()["jobId"] != first.json()["jobId"]


def test_a_company_has_five_exports_a_day(api: Api, other_api: Api, work: Work) -> None:
    for _ in range(5):
        assert request(api).status_code == 202
        work()
    refused = request(api)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 86_000 < int(refused.headers["retry-after"]) <= 86_400
    assert request(other_api).status_code == 202
    ExportRequest.objects.update(created_at=timezone.now() - DAY)
    assert request(api).status_code == 202


def test_an_export_that_failed_uses_up_none_of_the_five(api: Api, tenant: Tenant, work: Work) -> None:
    alter(tenant.record(draft())[0], payload={"forged": True})
    for _ in range(6):
        assert request(api).status_code == 202
        assert work().status == "FAILED"
    assert request(api).status_code == 202


def test_requesting_and_cancelling_does_not_go_on_for_ever(api: Api) -> None:
    for _ in range(5):
        job = request(api).json()["jobId"]
        assert api.post(f"/v1/key/company/jobs/{job}/cancel").json()["status"] == "CANCELLED"
    assert request(api).status_code == 429


def test_the_same_idempotency_key_is_the_same_request(api: Api, work: Work) -> None:
    first = request(api, **{"idempotency-key": "k"})
    work()
    assert request(api, **{"idempotency-key": "k"}).json() == first.json()
    assert Job.objects.count() == 1


def test_a_shutdown_in_the_middle_leaves_no_file_and_the_job_due(
    api: Api, tenant: Tenant, work: Work, folder: Path
) -> None:
    request(api)
    job = work(stopping=lambda: True)
    assert (job.status, job.attempt) == ("PENDING", 0)
    assert list(folder.iterdir()) == []
    assert work().status == "COMPLETED"


def test_a_failure_leaves_no_archive_and_says_why(
    api: Api, tenant: Tenant, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "publish", fail)
    request(api)
    job = work()
    assert job.status == "PENDING"  # it is tried again
    assert "No space left on device" in job.traceback
    assert list(folder.iterdir()) == []
    assert not ExportArchive.objects.exists()


def test_a_worker_that_lost_its_job_leaves_nothing_behind(
    api: Api, tenant: Tenant, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = storage.publish

    def publish_late(*args: Any, **kwargs: Any) -> None:
        publish(*args, **kwargs)
        Job.objects.update(claim_token=tenant.company.id)  # somebody else has it now

    monkeypatch.setattr(storage, "publish", publish_late)
    request(api)
    work()
    assert not ExportArchive.objects.exists()
    assert list(folder.iterdir()) == []


def test_a_record_that_could_not_be_confirmed_leaves_its_file_to_the_next_attempt(
    api: Api, tenant: Tenant, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(_: JobContext) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    request(api)
    with monkeypatch.context() as patch:
        patch.setattr(JobContext, "hold_claim", break_off)
        job = work()
    assert [path.name for path in folder.iterdir()] == [f"{job.id}-1.zip"]
    Job.objects.update(run_at=timezone.now())
    assert work().status == "COMPLETED"
    assert [path.name for path in folder.iterdir()] == [f"{job.id}-2.zip"]


def test_an_expired_archive_s_file_is_gone_and_its_record_stays(api: Api, work: Work, folder: Path) -> None:
    request(api)
    archive = work().archive
    assert ExportArchive.objects.expire(now=timezone.now()) == 0
    assert ExportArchive.objects.expire(now=archive.expires_at) == 1
    assert list(folder.iterdir()) == []
    shown = api.get(EXPORTS).json()["exports"][0]
    assert (shown["status"], shown["archive"]["status"]) == ("COMPLETED", "EXPIRED")
    assert api.post(f"{EXPORTS}/{shown['jobId']}/links").json()["code"] == "not_ready"


def test_an_archive_past_its_time_gets_no_more_links_though_nobody_swept_it(api: Api, work: Work) -> None:
    request(api)
    archive = work().archive
    url = f"{EXPORTS}/{archive.job_id}/links"
    assert api.post(url).status_code == 201
    ExportArchive.objects.update(expires_at=timezone.now())
    refused = api.post(url)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_ready")


def test_an_expired_archive_whose_file_is_elsewhere_stays_for_who_has_it(
    api: Api, work: Work, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request(api)
    archive = work().archive
    elsewhere = (folder / archive.file).rename(folder.parent / archive.file)
    assert ExportArchive.objects.expire(now=archive.expires_at) == 0
    archive.refresh_from_db()
    assert archive.status == "READY"
    assert archive.file in caplog.text
    elsewhere.rename(folder / archive.file)
    assert ExportArchive.objects.expire(now=archive.expires_at) == 1
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_deleted_keeps_no_other_from_it(
    api: Api, work: Work, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = []
    for _ in range(2):
        request(api)
        archives.append(work().archive)
    first, second = archives
    delete = storage.delete

    def refuse_the_first(name: str) -> None:
        if name == first.file:
            raise PermissionError(13, "Permission denied")
        delete(name)

    monkeypatch.setattr(storage, "delete", refuse_the_first)
    ExportArchive.objects.expire(now=second.expires_at)
    assert [path.name for path in folder.iterdir()] == [first.file]
    monkeypatch.undo()
    os.utime(folder / first.file, (0, 0))
    ExportArchive.objects.expire(now=second.expires_at)  # a stray by now
    assert list(folder.iterdir()) == []


def test_a_published_name_survives_a_power_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    sync = os.fsync

    def watch(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), (folder / "a.zip").exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with storage.draft("a.zip") as file:
        storage.publish("a.zip", file)
    assert synced == [(folder / ".a.zip.part", False), (folder, True)]


def test_what_attempts_that_died_left_behind_is_cleared_away(api: Api, work: Work, folder: Path) -> None:
    job_id = request(api).json()["jobId"]
    folder.mkdir()
    for left in (f".{job_id}-1.zip.part", f"{job_id}-1.zip"):
        (folder / left).write_bytes(b"half")
    archive = work().archive
    assert [path.name for path in folder.iterdir()] == [archive.file]


def test_housekeeping_clears_away_what_no_attempt_came_back_to_and_nothing_else(
    api: Api, work: Work, folder: Path
) -> None:
    request(api)
    archive = work().archive
    left = [f".{archive.job_id}-7.zip.part", f"{archive.job_id}-7.zip"]
    foreign = ["payroll.csv", f"{uuid.uuid4()}-1.zip", f".{uuid.uuid4()}-1.zip.part"]
    fresh = f".{archive.job_id}-8.zip.part"
    for name in (*left, *foreign, fresh):
        (folder / name).write_bytes(b"half")
    (folder / "a-folder").mkdir()
    for name in (*left, *foreign, "a-folder", archive.file):
        os.utime(folder / name, (0, 0))
    ExportArchive.objects.expire(now=timezone.now())
    assert {path.name for path in folder.iterdir()} == {*foreign, fresh, "a-folder", archive.file}


def test_files_are_for_this_user_only(api: Api, work: Work, folder: Path) -> None:
    request(api)
    file = folder / work().archive.file
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_foreign_exports_are_404(api: Api, other_api: Api, work: Work) -> None:
    job_id = request(api).json()["jobId"]
    work()
    assert api.get(f"{EXPORTS}/{job_id}").json()["status"] == "COMPLETED"
    assert other_api.get(f"{EXPORTS}/{job_id}").status_code == 404
    assert other_api.post(f"{EXPORTS}/{job_id}/links").status_code == 404
    assert other_api.get(EXPORTS).json()["exports"] == []


@pytest.mark.parametrize("scope", ["Subject", "all", None])
def test_an_unknown_scope_is_refused_by_name(api: Api, scope: str | None) -> None:
    answer = api.post("/v1/key/company/gdpr/export", {"scope": scope})
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "scope")
