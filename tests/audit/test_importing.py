import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit import importing
from audit.models import AuditEvent
from tests.conftest import Tenant

EVENT = {"action": "user.login", "category": "auth"}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def refused(path: Path, tenant: Tenant) -> str:
    with pytest.raises(CommandError) as refusal:
        call_command("import_events", str(path), workspace=str(tenant.workspace.id))
    return str(refusal.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({**EVENT, "action": "x" * 201}, "action: "),
        ({"eventName": "x" * 300, "eventSource": "s3", "eventTime": "2026-01-31T12:00:00Z"}, "action: has 303 char"),
        ({"eventName": "x", "eventSource": "s3", "eventTime": "2026-01-31T12:00:00"}, "eventTime: "),
        ({"eventName": "x", "eventSource": "s3"}, "the field 'eventTime' is missing"),
        ({**EVENT, "category": "hyrelog"}, "category: "),
        ({**EVENT, "occurredAt": 1700000000}, "occurredAt: "),
        ('{"action": "a", "action": "b", "category": "c"}', "'action' stands twice"),
        ("[1]", "is a JSON list, not an object"),
        ("{", "Expecting"),
        (
            '{"action": "a", "category": "b", "payload": ' + '{"a":' * 20_000 + "1" + "}" * 20_001,
            "is nested too deeply",
        ),
    ],
)
def test_a_bad_line_is_named_with_what_was_recorded_before(
    tenant: Tenant, tmp_path: Path, line: Any, reason: str
) -> None:
    told = refused(written(tmp_path / "events.jsonl", EVENT, "", EVENT, EVENT, line), tenant)
    assert f"line 5: {reason}" in told
    assert "The first 2 events were recorded" in told
    assert AuditEvent.objects.count() == 2


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "trailing"])
def test_a_damaged_file_is_said_to_be_damaged(tenant: Tenant, tmp_path: Path, damage: str) -> None:
    packed = gzip.compress(b"".join(json.dumps(EVENT | {"payload": {"n": n}}).encode() + b"\n" for n in range(2000)))
    corrupt = bytearray(packed)
    corrupt[len(packed) // 2] ^= 0xFF
    content = {"truncated": packed[:-20], "corrupt": bytes(corrupt), "trailing": packed + b"no gzip"}[damage]
    path = tmp_path / "events.gz"
    path.write_bytes(content)
    told = refused(path, tenant)
    assert "the file is damaged" in told
    assert "No event was recorded" in told
    assert not AuditEvent.objects.exists()


def test_a_file_that_breaks_off_meanwhile_says_how_much_was_recorded(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.gz"
    path.write_bytes(gzip.compress(b"".join(json.dumps(EVENT).encode() + b"\n" for _ in range(20_000)))[:-20])
    monkeypatch.setattr("audit.management.commands.import_events.count_lines", lambda _: 0)
    monkeypatch.setattr(importing, "BATCH", 1000)
    told = refused(path, tenant)
    assert f"The first {AuditEvent.objects.count()} events were recorded" in told


def test_what_is_no_file_is_said_so(tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Is a directory" in refused(tmp_path, tenant)
    assert "No such file" in refused(tmp_path / "missing", tenant)
    empty = written(tmp_path / "empty")
    call_command("import_events", str(empty), workspace=str(tenant.workspace.id))
    assert f"{empty} holds no event" in capsys.readouterr().out


def test_nothing_is_imported_into_the_system_workspace(tenant: Tenant, tmp_path: Path) -> None:
    path = written(tmp_path / "events.jsonl", EVENT)
    with pytest.raises(CommandError, match="nobody else records there"):
        call_command("import_events", str(path), workspace=str(tenant.company.system_workspace.id))
    assert not AuditEvent.objects.exists()


def test_a_file_of_both_forms_is_imported_in_order(tenant: Tenant, tmp_path: Path) -> None:
    trail = {"eventName": "x", "eventSource": "s3", "eventTime": "2026-01-31T12:00:00Z", "requestID": 12345}
    path = written(tmp_path / "events.jsonl", EVENT, trail, EVENT)
    call_command("import_events", str(path), workspace=str(tenant.workspace.id))
    recorded = AuditEvent.objects.order_by("seq")
    assert [event.action for event in recorded] == ["user.login", "s3.x", "user.login"]
    assert recorded[1].trace_id is None
