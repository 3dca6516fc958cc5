"""The ledger of an erasure: what it holds, that it lies beside the archives, and what is refused of others."""

import hashlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit import erasing, signing
from audit.canonical import canonical
from audit.models import AuditEvent
from gdpr import storage
from gdpr.erasures import ledger, ledger_lines
from gdpr.erasures.ledger import KIND, FaultyLedger, name_of, read, write
from gdpr.erasures.ledger_lines import Header, Record, Row, Signature
from gdpr.models import Erasure
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.erased import erase_events, erased, note_row, requested
from tests.gdpr.test_storage import Kept, kept

__all__ = ["kept"]
Lines = list[dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORT_STORAGE = tmp_path / "exports"
    return tmp_path / "exports"


@pytest.fixture
def erasure(tenant: Tenant, folder: Path) -> Erasure:
    """With two records and a row, and its ledger."""
    made = erased(tenant, *tenant.record(draft(), draft(payload={"to": "ada@example.com"})))
    note_row(made, "webhooks_webhook", "0190", description=[0])
    write(made)
    return made


def content_of(erasure: Erasure) -> bytes:
    with storage.open_file(name_of(erasure.pk)) as file:
        return file.read()


def lines_of(content: bytes) -> Lines:
    return [json.loads(line) for line in content.splitlines()]


def signed(lines: Lines, *, seed_of: Callable[[str, bytes], str] = signing.sign) -> bytes:
    """These lines with a new signature in place of the last one."""
    body = b"".join(canonical(line) + b"\n" for line in lines[:-1])
    digest = hashlib.sha256(body).digest()
    said = {"algorithm": "Ed25519", "keyId": signing.current_key_id(), "sha256": digest.hex()}
    return body + canonical({"signature": said | {"signature": seed_of(KIND, digest)}}) + b"\n"


def told(content: bytes) -> str:
    """Why a ledger is refused."""
    with pytest.raises(FaultyLedger) as caught:
        list(read(io.BytesIO(content), name="a.ndjson"))
    return str(caught.value)


def test_it_holds_the_erasure_its_records_and_its_rows(tenant: Tenant, erasure: Erasure) -> None:
    header, *records, row, signature = read(io.BytesIO(content_of(erasure)), name="a.ndjson")
    assert isinstance(header, Header)
    assert (header.erasure_id, header.company_id, header.pseudonym) == (
        erasure.pk,
        erasure.company_id,
        erasure.pseudonym,
    )
    assert (header.requested_at, header.due_at) == (NOON, NOON)
    assert [(one.user_id, one.at) for one in header.approvals] == [(1, NOON), (2, NOON)]
    assert header.counts == {"audit_auditevent": 2}
    assert header.started_at == NOON
    assert abs(header.completed_at - datetime.now(UTC)) < timedelta(minutes=1)
    made = list(erasing.records_of(tenant.company))
    assert [(one.id, one.seq) for one in records if isinstance(one, Record)] == [(one.pk, one.seq) for one in made]
    (event,) = records[1].events if isinstance(records[1], Record) else ()
    assert (tuple(event.commitments), event.replaced) == (("actor", "content"), {"actor": (1, 3), "payload": (1,)})
    assert row == Row("webhooks_webhook", "0190", {"description": (0,)})
    assert isinstance(signature, Signature)


def test_it_holds_no_identifier_and_no_reason_and_names_nobody_who_asked_or_approved(erasure: Erasure) -> None:
    """A later erasure of one of these could not change it."""
    content = content_of(erasure)
    assert [text for text in (b"ada@", b'"u1"', b"she asked", b"backend", b"olga", b"piet") if text in content] == []


def test_records_and_rows_are_read_page_by_page(tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "RECORDS", 2)
    monkeypatch.setattr(ledger, "ROWS", 2)
    made = erased(tenant, *tenant.record(*[draft() for _ in range(5)]))
    other = erased(tenant, *tenant.record())
    for n in range(5):
        note_row(made, "jobs_job", n, payload=[0])
    note_row(other, "jobs_job", "other", payload=[0])
    write(made)
    lines = list(read(io.BytesIO(content_of(made)), name="a.ndjson"))
    assert [line.seq for line in lines if isinstance(line, Record)] == [1, 2, 3, 4, 5]
    assert [line.key for line in lines if isinstance(line, Row)] == ["0", "1", "2", "3", "4"]


def test_a_second_writing_replaces_the_first(tenant: Tenant, erasure: Erasure) -> None:
    before = content_of(erasure)
    erase_events(erasure, *tenant.record())
    write(erasure)
    assert len(lines_of(content_of(erasure))) == len(lines_of(before)) + 1
    assert storage.ledgers() == [name_of(erasure.pk)]


def test_an_erasure_that_found_nothing_has_a_ledger_too(tenant: Tenant, folder: Path) -> None:
    made = requested(tenant.company)
    write(made)
    assert [type(line) for line in read(io.BytesIO(content_of(made)), name="a.ndjson")] == [Header, Signature]


def test_a_storage_that_gives_back_something_else_is_told(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_signed", lambda digest: b'{"signature":{}}\n')
    with pytest.raises(storage.StorageUnavailable, match=r"erasure-.*\.ndjson, line 2: signature must have exactly"):
        write(requested(tenant.company))


def test_it_lies_in_any_storage_and_housekeeping_leaves_it_there(tenant: Tenant, kept: Kept) -> None:
    made = erased(tenant, *tenant.record())
    write(made)
    kept.put("erasure-notes.txt")
    assert storage.ledgers() == [name_of(made.pk)]
    assert storage.strays(before=datetime.now(UTC) + timedelta(days=2)) == set()
    assert kept.names() == {name_of(made.pk), "erasure-notes.txt"}
    assert [type(line) for line in read(io.BytesIO(content_of(made)), name="a.ndjson")] == [Header, Record, Signature]


# --- What is refused --------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_off_says_so(erasure: Erasure) -> None:
    content = content_of(erasure)
    whole = content.splitlines(keepends=True)
    assert told(b"") == "a.ndjson, line 1: the file is empty."
    assert told(b"".join(whole[:3])) == "a.ndjson, line 4: the file ends without the signature."
    assert told(content[:-1]) == "a.ndjson, line 5: it must end with a line feed: the file was cut off."


@pytest.mark.parametrize(
    "order",
    [[1, 0, 2, 3, 4], [0, 0, 1, 2, 3, 4], [0, 3, 1, 2, 4], [0, 2, 1, 3, 4], [0, 1, 1, 2, 3, 4], [0, 1, 4, 2, 3, 4]],
)
def test_lines_in_another_order_are_refused(erasure: Erasure, order: list[int]) -> None:
    lines = lines_of(content_of(erasure))
    reason = told(signed([lines[n] for n in order]))
    assert "stand" in reason or "SHA-256 is another" in reason


def test_nothing_stands_behind_the_signature(erasure: Erasure) -> None:
    content = content_of(erasure)
    assert told(content + content.splitlines(keepends=True)[1]).endswith("nothing may stand behind the signature.")


@pytest.mark.parametrize("number", range(5))
def test_each_changed_byte_is_found(erasure: Erasure, number: int) -> None:
    lines = content_of(erasure).splitlines(keepends=True)
    changed = lines[number].replace(b"0", b"1", 1)
    assert changed != lines[number]
    assert told(b"".join([*lines[:number], changed, *lines[number + 1 :]])).startswith("a.ndjson, line ")


def test_a_signature_of_another_kind_or_key_is_refused(erasure: Erasure, settings: Any) -> None:
    content = content_of(erasure)
    lines = lines_of(content)
    other_kind = signed(lines, seed_of=lambda _, digest: signing.sign("hyrelog-manifest-v1", digest))
    assert "line 5: the signature is not that of the key" in told(other_kind)
    old = signing.public_keys()
    settings.HYRELOG_SIGNING_KEY = ["ab" * 32]
    assert "line 5: it is signed by the key" in told(content)
    assert len(list(read(io.BytesIO(content), name="a.ndjson", keys=old))) == 5


def with_field(path: str, value: Any) -> Callable[[Lines], None]:
    """Sets the field at a path such as `1.record.seq`, or removes it."""

    def change(lines: Lines) -> None:
        *way, last = [int(name) if name.isdigit() else name for name in path.split(".")]
        place: Any = lines
        for name in way:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("0.format", "other", "line 1: it is no ledger of version 1"),
        ("0.version", 2, "line 1: it is no ledger of version 1"),
        ("0.version", True, "line 1: it is no ledger of version 1"),
        ("0.reason", "x", "line 1: the header must have exactly the fields"),
        ("0.counts", ..., "line 1: the header must have exactly the fields"),
        ("0.erasureId", "7", "line 1: erasureId must match"),
        ("0.pseudonym", "ada@example.com", "line 1: pseudonym must match"),
        ("0.requestedBy", "ada", "line 1: the header must have exactly the fields"),
        ("0.approvals.0.by", "ada", r"line 1: approvals\[0\] must have exactly the fields userId, at"),
        ("0.requestedAt", "2026-13-31T12:00:00.000000Z", "line 1: requestedAt is no time"),
        ("0.completedAt", None, "line 1: completedAt must match"),
        ("0.approvals", {}, "line 1: approvals must be a list"),
        ("0.approvals.0.userId", "1", r"line 1: approvals\[0\]\.userId must be a whole number"),
        ("0.counts", [], "line 1: counts must be an object"),
        ("0.counts.audit_auditevent", -1, r"line 1: counts\.audit_auditevent must be a whole number"),
        ("1.other", {}, "line 2: a line must have exactly one of the fields"),
        ("1.record", [], "line 2: record must have exactly the fields"),
        ("1.record.id", 1, r"line 2: record\.id must match"),
        ("1.record.seq", 1.5, r"line 2: record\.seq must be a whole number"),
        ("1.record.events", [], r"line 2: record\.events has 0 items; a record names 1 to 200"),
        ("1.record.events.0.name", "Ada", r"line 2: record\.events\[0\] must have exactly the fields id, replaced"),
        ("1.record.events.0.actor", ..., r"line 2: record\.events\[0\] must have at least one"),
        ("1.record.events.0.actor", "00", r"line 2: record\.events\[0\]\.actor must match"),
        ("1.record.events.0.replaced.payload", [1], r"replaced names 'payload'; known there are actor"),
        ("1.record.events.0.replaced.actor", [True], r"replaced\.actor must be a whole number"),
        ("1.record.events.0.replaced.actor", [2**53], r"safely|whole number"),
        ("3.row.table", "jobs_job; DROP", r"line 4: row\.table must match"),
        ("3.row.key", "x" * 65, r"line 4: row\.key must be a text of 1 to 64"),
        ("3.row.replaced", None, r"line 4: row\.replaced must be an object"),
        ("4.signature.algorithm", "none", r"line 5: signature\.algorithm must be"),
        ("4.signature.signature", "zz", r"line 5: signature\.signature must match"),
    ],
)
def test_a_line_of_another_form_is_refused_with_its_rule(erasure: Erasure, path: str, value: Any, rule: str) -> None:
    lines = lines_of(content_of(erasure))
    with_field(path, value)(lines)
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with pytest.raises(FaultyLedger, match=rule):
        list(read(io.BytesIO(content), name="a.ndjson"))


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"\n", "Expecting value"),
        (b"[]\n", "a line must be an object"),
        (b"\xff\n", "decode"),
        (b'{"row": NaN}\n', "no number"),
        (b'{"row": {}, "row": {}}\n', "stands twice"),
        (b"[" * 100_000 + b"\n", "nested too deep"),
        (b'{"row": ' + b"9" * 100_000 + b"}\n", "no number"),
    ],
)
def test_a_hostile_line_is_refused(erasure: Erasure, line: bytes, rule: str) -> None:
    lines = content_of(erasure).splitlines(keepends=True)
    reason = told(b"".join([*lines[:3], line, *lines[3:]]))
    assert reason.startswith("a.ndjson, line 4: ")
    assert rule in reason
    assert len(reason) < 300


def test_a_line_beyond_all_measure_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MOST_LINE", 1_000)
    file = io.BytesIO(b"x" * 1_000_000)
    with pytest.raises(FaultyLedger, match="line 1: it is longer than 1,000 bytes"):
        list(read(file, name="a.ndjson"))
    assert file.tell() <= 1_001


def test_a_record_lists_events_in_the_form_of_the_ledger(tenant: Tenant) -> None:
    """What audit.erasing records is what ledgers carry."""
    (event,) = tenant.record(draft(payload={"to": "ada@example.com"}))
    record = erase_events(requested(tenant.company), event)
    record = AuditEvent.objects.get(pk=record.pk)
    (listed,) = [ledger_lines.read_event(one, "it") for one in (record.payload or {})["events"]]
    assert (listed.id, tuple(listed.commitments)) == (event.pk, ("actor", "content"))
