"""Exports whose archives are in a bucket: made, downloaded, expired."""

import hashlib
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.storage import storages
from django.test import AsyncClient

from audit.models import AuditEvent
from gdpr import downloading, storage
from gdpr.handlers import UNAVAILABLE
from gdpr.models import DownloadLink, ExportArchive
from hyrelog.env import S3Location
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.api import Api
from tests.conftest import Tenant, open_tenant
from tests.gdpr.s3_server import S3Bucket, as_settings
from tests.jobs.steps import run_next
from tests.system import wait_until


@pytest.fixture
def tenant(committed: None) -> Tenant:
    return open_tenant("Acme")


Work = Callable[..., Job]


@pytest.fixture
def work(bucket: S3Bucket, api: Api, tenant: Tenant, lease: ProcessLease) -> Work:
    """Request an export, and have a worker make it."""

    def run(*, stopping: Callable[[], bool] = lambda: False) -> Job:
        assert api.post("/v1/key/company/gdpr/export", {"scope": "company"}).status_code == 202
        assert run_next(lease, queue="exports", stopping=stopping)
        return Job.objects.latest("id")

    return run


@pytest.fixture
def do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LOOK_FOR", 0)


def link_to(api: Api, job: Job) -> str:
    answer = api.post(f"/v1/key/company/gdpr/exports/{job.id}/links")
    assert answer.status_code == 201
    return str(answer.json()["url"])


async def fetch(url: str, **headers: str) -> tuple[Any, bytes]:
    response: Any = await AsyncClient().get(url, headers=headers)
    if not response.streaming:
        return response, response.content
    return response, b"".join([chunk async for chunk in response.streaming_content])


get = async_to_sync(fetch)


def test_an_export_goes_into_the_bucket_and_is_downloaded_from_there_in_ranges(
    work: Work, bucket: S3Bucket, api: Api, tenant: Tenant, do_not_wait: None
) -> None:
    tenant.record()
    job = work()
    assert job.status == "COMPLETED", job.error
    archive = job.archive
    assert bucket.keys == [f"hyrelog/archives/{archive.file}"]
    assert (bucket.uploads, storages["exports"].size(archive.file)) == ([], archive.size)
    with storage.open_file(archive.file) as file, zipfile.ZipFile(file) as sealed:
        assert sealed.testzip() is None
    url = link_to(api, job)
    middle = archive.size // 2
    first, begun = get(url, range=f"bytes=0-{middle - 1}")
    assert (first.status_code, first.headers["content-range"]) == (206, f"bytes 0-{middle - 1}/{archive.size}")
    _, rest = get(url, range=f"bytes={middle}-")
    assert hashlib.sha256(begun + rest).hexdigest() == archive.sha256


def test_an_export_into_a_bucket_that_does_not_take_it_is_tried_again(
    work: Work, bucket: S3Bucket, settings: Any
) -> None:
    nowhere = S3Location(bucket="no-such-bucket", prefix="")
    settings.STORAGES = settings.STORAGES | {"exports": as_settings(nowhere)}
    job = work()
    assert job.status == "PENDING"
    assert job.error == UNAVAILABLE
    assert "Bucket 'no-such-bucket'" in job.traceback
    assert "there is no such bucket" in job.traceback
    assert not ExportArchive.objects.exists()


def test_a_worker_that_stops_leaves_nothing_in_the_bucket(work: Work, bucket: S3Bucket) -> None:
    job = work(stopping=lambda: True)
    assert (job.status, bucket.keys, bucket.uploads) == ("PENDING", [], [])


def test_an_export_that_is_stopped_while_it_is_sent_leaves_nothing_in_the_bucket(work: Work, bucket: S3Bucket) -> None:
    bucket.gate.hold_after(1)  # the request that begins the upload, and none after it
    job = work(stopping=lambda: bool(bucket.uploads))
    assert (job.status, job.attempt) == ("PENDING", 0)
    bucket.gate.hold_after(None)
    wait_until(lambda: not bucket.uploads, seconds=20, what="the upload's end")
    assert bucket.keys == []


def test_a_download_whose_storage_does_not_answer_is_503_and_the_link_stays_good(
    work: Work, bucket: S3Bucket, api: Api, do_not_wait: None, caplog: pytest.LogCaptureFixture
) -> None:
    url = link_to(api, work())
    with bucket.refusing_strangers():
        refused, error = get(url)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
    assert bucket.location.bucket not in error.decode()
    assert f"Bucket '{bucket.location.bucket}'" in caplog.text
    assert get(url)[0].status_code == 200


def test_a_download_whose_storage_fails_once_it_began_gives_its_link_free(
    work: Work, bucket: S3Bucket, api: Api, do_not_wait: None
) -> None:
    url = link_to(api, work())

    async def begin_and_break() -> None:
        response: Any = await AsyncClient().get(url)
        with bucket.refusing_strangers(), pytest.raises(storage.StorageUnavailable):
            _ = [chunk async for chunk in response.streaming_content]

    async_to_sync(begin_and_break)()
    assert DownloadLink.objects.get().holder is None
    assert get(url)[0].status_code == 200


def test_an_expired_archive_is_deleted_from_the_bucket(work: Work, bucket: S3Bucket) -> None:
    archive = work().archive
    assert ExportArchive.objects.expire(now=archive.expires_at) == 1
    assert bucket.keys == []


def test_an_expired_archive_that_the_bucket_lacks_is_told_as_missing(work: Work, bucket: S3Bucket) -> None:
    archive = work().archive
    storage.delete(archive.file)
    assert ExportArchive.objects.expire(now=archive.expires_at) == 1
    archive.refresh_from_db()
    assert archive.status == "EXPIRED"
    assert (AuditEvent.objects.get(action="gdpr.export.purged").payload or {})["reason"] == "missing"


def test_an_archive_that_expires_while_the_bucket_does_not_answer_is_deleted_later(
    work: Work, bucket: S3Bucket
) -> None:
    archive = work().archive
    with bucket.refusing_strangers(), pytest.raises(storage.StorageUnavailable):
        ExportArchive.objects.expire(now=archive.expires_at)
    archive.refresh_from_db()
    assert (archive.status, archive.purging) == ("EXPIRED", "expired")
    assert len(bucket.keys) == 1
    purged = AuditEvent.objects.filter(action="gdpr.export.purged")
    assert not purged.exists()
    ExportArchive.objects.expire(now=archive.expires_at)
    assert bucket.keys == []
    assert purged.count() == 1
