"""A link to an archive whose bytes are known."""

import hashlib
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
