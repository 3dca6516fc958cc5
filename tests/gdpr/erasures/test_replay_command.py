"""`manage.py replay_erasures`: what it tells, what it refuses, and its exit status."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit import signing
from audit.models import AuditEvent
from gdpr import storage
from gdpr.erasures import ledger
from gdpr.models import Erasure, ExportArchive
from tests.conftest import Tenant, draft, set_append_only
from tests.gdpr.erasures.engine import ADA, BOB, erased
from tests.gdpr.erasures.restoring import put_back_events, rows_of
from tests.gdpr.test_purging_for_erasures import archive_of
from webhooks.models import Webhook, WebhookDelivery

ADAS = {"actor": {"id": "ada"}, "payload": {"to": "ada@example.com"}}


@pytest.fixture
def restored(tenant: Tenant, settings: Any, tmp_path: Path) -> Erasure:
    """An erasure whose one event is back."""
    settings.EXPORT_STORAGE = str(tmp_path)
    tenant.record(draft(**ADAS))
    before = rows_of(AuditEvent.objects.filter(workspace=tenant.workspace))
    erasure = erased(tenant.company)
    put_back_events(before)
    return erasure


def is_back(tenant: Tenant) -> bool:
    event = AuditEvent.objects.get(workspace=tenant.workspace)
    return ADA.matches([event.actor, event.payload])


def test_it_tells_what_it_repeated(tenant: Tenant, restored: Erasure, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("replay_erasures")
    told = capsys.readouterr().out
    assert told.splitlines() == [
        f"erasure {restored.pk} of company {tenant.company.pk}",
        "  1 events repeated, 0 as they must be",
        "  is COMPLETED here",
        "1 erasures, 1 repeated. Now run manage.py verify_chain.",
    ]
    assert not is_back(tenant)


def test_a_dry_run_tells_what_it_would_repeat(
    tenant: Tenant, restored: Erasure, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("replay_erasures", "--dry-run")
    assert "1 events to be repeated" in capsys.readouterr().out
    assert is_back(tenant)


def test_a_faulty_ledger_is_told_and_keeps_nothing_else_from_being_repeated(
    tenant: Tenant, restored: Erasure, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = ledger.name_of(restored.pk)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content.replace(b"olga", b"mara").replace(b'"seq":', b'"seq": '))
    with pytest.raises(SystemExit) as ended:
        call_command("replay_erasures")
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert f"FAULT {name}, line 3: the lines before it are not those that were signed" in told.err
    assert "faults: 1." in told.err
    assert "1 events repeated" in told.out
    assert not is_back(tenant)


def test_a_record_without_its_form_is_told(
    tenant: Tenant, restored: Erasure, capsys: pytest.CaptureFixture[str]
) -> None:
    set_append_only("DISABLE")
    AuditEvent.objects.filter(action="gdpr.erased").update(payload={"erasureId": str(restored.pk), "events": [1]})
    set_append_only("ENABLE")
    with pytest.raises(SystemExit):
        call_command("replay_erasures")
    assert "payload.events[0] must have exactly the fields id, replaced" in capsys.readouterr().err


def test_ledgers_can_be_named_as_files(
    tenant: Tenant, restored: Erasure, settings: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.EXPORT_STORAGE = str(tmp_path / "lost")
    path = tmp_path / ledger.name_of(restored.pk)
    with pytest.raises(SystemExit):
        call_command("replay_erasures", "--dry-run", str(path), str(tmp_path / "none"))
    told = capsys.readouterr()
    assert f"FAULT {tmp_path / 'none'} cannot be read: No such file or directory." in told.err
    call_command("replay_erasures", str(path))
    assert not is_back(tenant)


def test_a_key_that_was_rotated_out_can_be_named(tenant: Tenant, restored: Erasure, settings: Any) -> None:
    ((_, old),) = signing.public_keys().items()
    settings.HYRELOG_SIGNING_KEY = ["ab" * 32]
    with pytest.raises(SystemExit):
        call_command("replay_erasures", "--dry-run")
    call_command("replay_erasures", "--key", old)
    assert not is_back(tenant)


def test_a_key_that_is_none_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="is no Ed25519 public key"):
        call_command("replay_erasures", "--key", "00")


def test_a_storage_that_cannot_be_read_is_told_before_anything_is_done(
    tenant: Tenant, restored: Erasure, settings: Any, tmp_path: Path
) -> None:
    settings.EXPORT_STORAGE = str(tmp_path / "file" / "exports")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CommandError, match=r"The ledgers in EXPORT_STORAGE cannot be read: .*Mend that, or name them"):
        call_command("replay_erasures")
    assert is_back(tenant)


def test_an_archive_that_cannot_be_deleted_keeps_nothing_else_from_being_done(
    tenant: Tenant, restored: Erasure, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = erased(tenant.company, BOB)
    for erasure in (restored, second):
        undone = {"status": "REQUESTED", "subject": ADA.as_json(), "completed_at": None, "certificate": None}
        Erasure.objects.filter(pk=erasure.pk).update(**undone, key=str(erasure.pk))
    archive = archive_of(tenant.company)
    with monkeypatch.context() as broken:
        broken.setattr(storage, "delete", refuse)
        with pytest.raises(SystemExit) as ended:
            call_command("replay_erasures")
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert f"cannot be deleted now: {archive.file}. The log says why. All else was done." in told.err
    assert told.err.count(archive.file) == 1
    assert told.out.count("the identifiers forgotten") == 2
    assert not is_back(tenant)
    assert not Erasure.objects.exclude(subject=None).exists()
    assert not ExportArchive.objects.ready().exists()
    call_command("replay_erasures")
    assert not storage.holds(archive.file)


def refuse(_: str) -> None:
    raise storage.StorageUnavailable("The bucket does not answer.")


def test_no_identifier_is_told(tenant: Tenant, restored: Erasure, capsys: pytest.CaptureFixture[str]) -> None:
    Erasure.objects.filter(pk=restored.pk).update(
        status="REQUESTED", subject=ADA.as_json(), key="k", completed_at=None, certificate=None
    )
    call_command("replay_erasures")
    told = capsys.readouterr()
    assert "was REQUESTED here, and is completed by its ledger, the identifiers forgotten" in told.out
    assert "ada" not in (told.out + told.err).replace(str(restored.pk), "").replace(str(tenant.company.pk), "")


def test_what_a_process_held_when_the_backup_was_made_is_taken_back_first(
    tenant: Tenant, settings: Any, tmp_path: Path
) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record(draft(**ADAS))
    before = rows_of(AuditEvent.objects.filter(workspace=tenant.workspace))
    erased(tenant.company)
    put_back_events(before)
    claimed = {"status": "SENDING", "claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4(), "attempt": 1}
    WebhookDelivery.objects.filter(event_id=before[0]["id"]).update(**claimed, next_attempt_at=None)
    call_command("replay_erasures")
    assert not is_back(tenant)
    assert WebhookDelivery.objects.get(event_id=before[0]["id"]).status != "SENDING"
