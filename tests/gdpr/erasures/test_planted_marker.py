"""Nothing is left of an erased person in the database: planted in every column that can hold them, found in none."""

import base64
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.utils import timezone

from audit.encryption import HIDDEN, decrypt
from audit.models import ApiKey, IdempotencyRecord
from audit.personal_data import erasable
from gdpr.erasures.deciding import approve
from gdpr.erasures.requesting import PREVIEW, request_erasure
from gdpr.models import Erasure, ExportRequest
from gdpr.requesting import scope_key
from gdpr.subjects import Subject
from hyrelog.dev.binaries import find_executable
from hyrelog.dev.hosting import find_hosting
from jobs.models import Job
from jobs.sealing import unseal
from jobs.testing import run_enqueued
from tests.architecture.test_erasable_data import HARMLESS, types
from tests.architecture.test_personal_data import tables
from tests.conftest import Tenant, open_tenant
from tests.gdpr.erasures.asking import officer
from tests.gdpr.erasures.furnished import furnish, plant, planted
from webhooks.models import Webhook

EMAIL = "Marked.Person@Planted.example"
ACTOR_ID = "planted-actor-7f3a"
PEOPLE = pytest.mark.parametrize("marker", [EMAIL, ACTOR_ID])
"""By an address, which is found within texts, and by an id, which is found alone."""

TOKEN = re.compile(r"gAAAA[A-Za-z0-9_=-]+")
"""What is encrypted (Fernet)."""

Mentions = set[tuple[str, str, str]]
"""Table, place in it, and column."""


@pytest.fixture(autouse=True)
def storage(settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


def subject_of(marker: str) -> Subject:
    return Subject.read({"email": marker} if "@" in marker else {"actorId": marker})


def erase(tenant: Tenant, marker: str) -> Erasure:
    """By all that an erasure takes: it is requested, counted, approved twice, and run by its handler."""
    now, company = timezone.now(), tenant.company
    erasure, _ = request_erasure(company=company, subject=subject_of(marker), reason=marker, requested_by="op", now=now)
    run_enqueued(Job.objects.get(company=company, type=PREVIEW))
    erasure.refresh_from_db()
    for user in (1, 2):
        approve(erasure, user_id=officer(user), approved_by=f"op {user}", now=now)
    erasure.refresh_from_db()
    assert erasure.job
    job = run_enqueued(erasure.job)
    assert job.status == Job.Status.COMPLETED, job.error + job.traceback
    erasure.refresh_from_db()
    return erasure


def mentions(marker: str) -> Mentions:
    """Where the person stands, in any column of any table: as planted, in URLs, behind an encryption."""
    found = set()
    for table in sorted(tables()):
        for column in (name for name, data_type in types(table).items() if data_type not in HARMLESS):
            with connection.cursor() as cursor:
                cursor.execute(f'SELECT ctid::text, "{column}"::text FROM "{table}" WHERE "{column}" IS NOT NULL')
                found |= {(table, place, column) for place, text in cursor.fetchall() if is_in(text, marker)}
    return found


def is_in(text: str, marker: str) -> bool:
    opened = " ".join([text, *map(decrypt, TOKEN.findall(text))])
    return any(form in opened.lower() for form in (marker.lower(), quote(marker, safe="").lower()))


def dump() -> bytes:
    """The whole database, as a backup has it."""
    hosting = find_hosting(Path(os.environ["HYRELOG_HOME"]), announce=lambda _: None)
    program = find_executable(hosting, wheel="pgserver", path="pginstall/bin/pg_dump", announce=lambda _: None)
    server = connection.settings_dict
    where = {"host": server["HOST"], "port": server["PORT"], "username": server["USER"], "dbname": server["NAME"]}
    done = subprocess.run(
        [program, *(f"--{name}={value}" for name, value in where.items())],
        env={"PGPASSWORD": server["PASSWORD"], "LC_ALL": "C"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def encodings(marker: str) -> Iterator[bytes]:
    """How somebody may be written down: as is, in small letters, in a URL, in hexadecimal, in Base64."""
    for text in (marker, marker.lower(), quote(marker, safe=""), quote(marker, safe="").lower()):
        yield text.encode()
        yield text.encode().hex().encode()
        for offset in range(3):  # a Base64 text differs by where in it something stands
            encoded = base64.b64encode(bytes(offset) + text.encode())
            yield encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]


@PEOPLE
def test_nothing_is_left_of_the_person(committed: None, marker: str) -> None:
    tenant = open_tenant("Acme")
    plant(furnish(tenant, marker), marker)
    assert {table for table, _, _ in mentions(marker)} == plantable(marker)
    backup = dump()
    assert marker.encode() in backup
    erasure = erase(tenant, marker)
    assert mentions(marker) == set()
    backup = dump()
    assert erasure.pseudonym.encode() in backup
    assert [encoded for encoded in encodings(marker) if encoded in backup] == []


@PEOPLE
def test_rows_of_another_company_stay_as_they_are(tenant: Tenant, other_tenant: Tenant, marker: str) -> None:
    plant(furnish(other_tenant, marker), marker)
    theirs = mentions(marker)
    plant(furnish(tenant, marker), marker)
    assert len(mentions(marker)) == 2 * len(theirs)
    erase(tenant, marker)
    assert mentions(marker) == theirs  # at the same places: they were not even written


@pytest.mark.parametrize("dropped", ["jobs_joblog", "audit_idempotencyrecord", "django_admin_log"])
def test_a_table_that_is_not_declared_keeps_the_person(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, dropped: str
) -> None:
    plant(furnish(tenant, EMAIL), EMAIL)
    monkeypatch.setattr("audit.personal_data._erasable", [table for table in erasable() if table.table != dropped])
    erase(tenant, EMAIL)
    assert {table for table, _, _ in mentions(EMAIL)} == {dropped}


def test_what_hyrelog_reads_itself_stays_readable(tenant: Tenant) -> None:
    rows = furnish(tenant, EMAIL)
    plant(rows, EMAIL)
    erasure = erase(tenant, EMAIL)
    for row in rows.values():
        if not isinstance(row, IdempotencyRecord):
            row.refresh_from_db()
    webhook, key, request = rows[Webhook], rows[ApiKey], rows[ExportRequest]
    assert isinstance(webhook, Webhook)
    assert (webhook.url, webhook.headers, webhook.authentication) == ("https://erased.invalid/", {}, None)
    assert not webhook.enabled
    assert "named the erased person" in webhook.disabled_reason
    assert isinstance(key, ApiKey)
    assert key.allowed_networks == ["203.0.113.0/24", "192.0.2.0/32"]
    assert key.admits("203.0.113.7")
    assert not key.admits("198.51.100.7")
    erased = Subject.read({"actorId": erasure.pseudonym})
    assert isinstance(request, ExportRequest)
    assert (request.person(), request.job.key) == (erased, scope_key(erased))
    assert tenant.company.contact_email == ""
    job = rows[Job]
    assert isinstance(job, Job)
    assert unseal({"headers": {"X-User": HIDDEN}}, job.secrets) == {"headers": {"X-User": erasure.pseudonym}}
    assert job.follow_up is not None
    assert (job.follow_up["payload"], job.follow_up["queue"]) == ({"of": erasure.pseudonym}, "jobs")


def plantable(marker: str) -> set[str]:
    """The tables in which the person can be planted: in columns that are neither kept nor proved."""
    return {table.table for table in erasable() if planted(table, marker).keys() - table.kept.keys()}
