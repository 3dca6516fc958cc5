"""The whole of it: a real backup, a real erasure, a real restore, and the command."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit import signing
from audit.models import AuditEvent, Company
from gdpr import storage, verify
from gdpr.models import Erasure, ExportArchive, ExportRequest
from gdpr.requesting import request_export
from jobs.enqueueing import enqueue
from jobs.testing import run_enqueued
from tests.conftest import NOON, Tenant, draft, open_tenant
from tests.gdpr.erasures.dumps import EVENTS_ALONE, dump, put_events_back, restore
from tests.gdpr.erasures.engine import ADA, erased
from tests.gdpr.erasures.restoring import faults
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

IDENTIFIERS = ("ada@example.com", '"ada"', "Countess")


@pytest.fixture
def lived(committed: None, settings: Any, tmp_path: Path) -> Tenant:
    """A company in whose tables a person is named wherever that may be."""
    settings.EXPORT_STORAGE = str(tmp_path)
    tenant = open_tenant("Acme")
    company = tenant.company
    Webhook.objects.register(company=company, url="https://example.com/", description="of ada@example.com")
    events = tenant.record(
        draft(actor={"id": "ada", "email": "ada@example.com"}),
        draft(actor={"id": "bob"}, payload={"to": ["ada@example.com"], "ada": 1}),
        draft(actor={"id": "bob"}),
    )
    for number, delivery in enumerate(WebhookDelivery.objects.filter(event=events[0]), 1):
        WebhookAttempt.objects.create(
            company=company,
            delivery=delivery,
            number=number,
            url="https://example.com/",
            started_at=NOON,
            result="delivered",
            response_body="Hello, Countess!",
        )
    enqueue("webhook.replay", {"to": "ada@example.com"}, company=company, now=timezone.now())
    request_export(company=company, scope="subject", subject=ADA, requested_by="a test", now=timezone.now())
    return tenant


@pytest.fixture
def archive(lived: Tenant) -> ExportArchive:
    """One that is kept when the backup is made, and whose file the erasure deletes."""
    run_enqueued(ExportRequest.objects.get().job)
    return ExportArchive.objects.ready().get()


def named() -> list[str]:
    """The identifiers that stand anywhere in the database."""
    backup = dump("--data-only")
    return [identifier for identifier in IDENTIFIERS if identifier in backup]


def replay_erasures(*arguments: str) -> str:
    out = io.StringIO()
    call_command("replay_erasures", *arguments, stdout=out)
    return out.getvalue()


def test_whom_a_restore_brings_back_is_erased_once_more(lived: Tenant, archive: ExportArchive) -> None:
    company, backup, events_alone = lived.company, dump("--clean", "--if-exists"), dump(*EVENTS_ALONE)
    assert named() == list(IDENTIFIERS)
    erasure = erased(company)
    assert named() == []
    assert erasure.counts["gdpr_exportarchive"] == 1
    values = list(AuditEvent.objects.filter(workspace=lived.workspace).order_by("pk").values_list("actor", "payload"))

    restore(backup)
    assert named() == list(IDENTIFIERS)
    assert not Erasure.objects.exists()
    assert ExportArchive.objects.ready().exists()
    assert not storage.holds(archive.file)
    told = replay_erasures("--dry-run")
    assert "2 events to be repeated" in told
    assert "1 archives to be deleted" in told
    assert "1 erasures, 1 to be repeated; nothing was changed." in told
    assert named() == list(IDENTIFIERS)

    told = replay_erasures()
    assert "2 events repeated, 0 as they must be" in told
    assert "1 archives deleted" in told
    assert "was not known here, and is completed by its ledger" in told
    assert not ExportArchive.objects.ready().exists()
    assert named() == []
    assert faults(company) == []
    after = AuditEvent.objects.filter(workspace=lived.workspace).order_by("pk")
    assert list(after.values_list("actor", "payload")) == values
    again = Erasure.objects.get()
    assert (again.pk, again.status, again.counts) == (erasure.pk, "COMPLETED", erasure.counts)
    _nothing_is_left_to_do(company)

    put_events_back(events_alone)
    assert len([fault for fault in faults(company) if "replay_erasures" in fault]) >= 2
    assert "2 events repeated" in replay_erasures()
    assert named() == []
    assert faults(company) == []
    _nothing_is_left_to_do(company)


def test_the_certificate_made_anew_is_that_of_the_restored_chain(lived: Tenant, tmp_path: Path) -> None:
    backup = dump("--clean", "--if-exists")
    before = erased(lived.company).certificate
    restore(backup)
    replay_erasures()
    after = Erasure.objects.get().certificate
    archive = tmp_path / "acme.zip"
    call_command("gdpr_export", "--company", str(lived.company.pk), "--output", str(archive), stdout=io.StringIO())
    assert _verified(archive, after) == (0, [])
    status, faults_found = _verified(archive, before)
    assert status == 1
    assert "the certificate" in faults_found[0]


def _verified(archive: Path, certificate: Any) -> tuple[int, list[str]]:
    """The exit status of verifying an archive with a certificate, and the faults."""
    file = archive.with_suffix(".json")
    file.write_text(json.dumps(certificate))
    keys = signing.public_keys().values()
    report = verify.verify(archive, keys=keys, certificate=verify.read_certificate(file))
    return report.status, [str(fault) for fault in report.faults]


def _nothing_is_left_to_do(company: Company) -> None:
    before = AuditEvent.objects.filter(company=company).count()
    assert "1 erasures, 0 repeated." in replay_erasures()
    assert AuditEvent.objects.filter(company=company).count() == before
