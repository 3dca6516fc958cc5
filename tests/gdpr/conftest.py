"""A link to an archive whose bytes are known."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gdpr import storage
from gdpr.models import ExportArchive
from gdpr.requesting import request_export
from tests.api import Api
from tests.conftest import Tenant, open_tenant
from tests.gdpr.s3_server import CREDENTIALS, S3Bucket, as_settings, running_server, serving_bucket

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def made(committed: None, client: Client, tmp_path: Path, settings: Any) -> tuple[Tenant, Api, str]:
    """A tenant, its API, and the id of an export whose archive is CONTENT. Streams read from threads of their own."""
    settings.EXPORT_STORAGE = str(tmp_path)
    tenant = open_tenant("Acme")
    asked, _ = request_export(company=tenant.company, scope="company", requested_by="a test", now=timezone.now())
    job = asked.job
    with storage.draft("x.zip") as file:
        file.write(CONTENT)
        storage.publish("x.zip", file)
    ExportArchive.objects.create(
        company=tenant.company,
        job=job,
        scope="company",
        file="x.zip",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        counts={},
        created_at=timezone.now(),
        expires_at=timezone.now() + timedelta(days=7),
    )
    return tenant, Api(client, tenant.company_key), str(job.id)


@pytest.fixture
def url(made: tuple[Tenant, Api, str]) -> str:
    _, api, job_id = made
    answer = api.post(f"/v1/key/company/gdpr/exports/{job_id}/links")
    assert answer.status_code == 201
    return str(answer.json()["url"])


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def bucket(s3_server: str, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Bucket]:
    """EXPORT_STORAGE is a bucket, which has nothing in it."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with serving_bucket(s3_server, name=f"b-{uuid.uuid4()}", prefix="hyrelog/archives") as bucket:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.gate.url)
        settings.EXPORT_STORAGE = bucket.location
        settings.STORAGES = settings.STORAGES | {"exports": as_settings(bucket.location)}
        yield bucket
