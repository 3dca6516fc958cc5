"""The certificate of an erasure, held against its signature and against a company's archive."""

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from gdpr.verify import Report, describe, main, read_certificate, verify
from tests.gdpr.archives import (
    FORGER,
    HYRELOG,
    Company,
    Files,
    Row,
    Signer,
    company,
    erasure_id,
    export,
    unpacked,
    zipped,
)  # fmt: skip

KIND = b"hyrelog-erasure-v1"
BEFORE, AFTER = "2026-01-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"
"""The checkpoints of the archives."""
OTHER = "the certificate says that it records another erasure, or of another number of events"


def erased() -> tuple[Company, list[Row]]:
    """A company with two records of one erasure."""
    made = company()
    rows = made.chains[made.workspace(1)]
    return made, [made.erase(rows[0], rows[1]), made.erase(rows[3])]


def certificate(of: Company, records: list[Row], /, *, signer: Signer = HYRELOG, **body: Any) -> dict[str, Any]:
    said = {
        "version": 1,
        "erasureId": erasure_id(1),
        "company": {"id": of.id, "name": "Acme"},
        "approvals": [{"by": "ann", "at": "2026-01-31T12:00:00.000000Z"}],
        "completedAt": BEFORE,
        "repeatedAt": None,
        "records": [named(row) for row in records],
        **body,
    }
    return {"body": said, **signer.sign(KIND, rfc8785.dumps(said))}


def named(row: Row, **fields: Any) -> Row:
    events = len(row["payload"]["events"])
    place = {"workspaceId": row["workspace_id"], "seq": row["seq"], "eventId": row["id"], "hash": row["hash"]}
    return {**place, "events": events, **fields}


def report_of(files: Files, certified: dict[str, Any]) -> Report:
    return verify(zipped(files), keys=[HYRELOG.key], certificate=certified)


def faults(files: Files, certified: dict[str, Any]) -> set[str]:
    return {f"{fault.file}: {fault.reason}" for fault in report_of(files, certified).faults}


def test_a_certificate_whose_records_stand_in_the_chain() -> None:
    made, records = erased()
    report = report_of(export(made), certificate(made, records))
    assert (report.faults, report.unchecked, report.status) == ([], [], 0)
    assert "is recorded in the chain, by the records that it names" in "\n".join(describe(report))


def test_a_certificate_that_names_no_record_is_checked_by_its_signature_alone() -> None:
    made, _ = erased()
    report = report_of(export(company()), certificate(made, [], completedAt=AFTER))
    assert (report.faults, report.unchecked, report.status) == ([], [], 0)
    assert "It names no record" in "\n".join(describe(report))
    assert faults(export(made), certificate(made, [], signer=FORGER)) != set()


def test_a_certificate_that_was_altered_or_signed_by_another() -> None:
    made, records = erased()
    sound = certificate(made, records)
    altered = {**sound, "body": sound["body"] | {"completedAt": "2026-01-01T00:00:00.000001Z"}}
    assert faults(export(made), altered) == {
        f"the certificate: the signature by key {HYRELOG.key_id} is not one of these bytes"
    }
    (found,) = faults(export(made), certificate(made, records, signer=FORGER))
    assert f"by key {FORGER.key_id}, which is none of those given" in found
    assert verify(zipped(export(made)), certificate=sound).status == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"hash": "0" * 64}, "the certificate names another event in this place, or another hash"),
        ({"eventId": erasure_id(7)}, "the certificate names another event in this place, or another hash"),
        ({"events": 3}, OTHER),
    ],
)
def test_a_record_that_is_not_the_one_named(fields: dict[str, Any], reason: str) -> None:
    made, records = erased()
    certified = certificate(made, [], records=[named(records[0], **fields), named(records[1])])
    assert {fault.partition(": ")[2] for fault in faults(export(made), certified)} == {reason}


def test_another_erasure_and_other_events_than_records() -> None:
    made, records = erased()
    of_another = certificate(made, records, erasureId=erasure_id(2))
    assert {fault.partition(": ")[2] for fault in faults(export(made), of_another)} == {OTHER}
    login = made.chains[made.workspace(2)][0] | {"payload": {"events": []}}
    no_record = certificate(made, [login])
    assert {fault.partition(": ")[2] for fault in faults(export(made), no_record)} == {OTHER}


def test_a_record_that_the_archive_lacks() -> None:
    made, records = erased()
    older = company()
    reason = f"of workspace {made.workspace(3)}, which it names"
    assert faults(export(older), certificate(made, records)) == {
        f"the certificate: the archive holds no seq {seq} {reason}" for seq in (1, 2)
    }


@pytest.mark.parametrize("times", [{"completedAt": AFTER}, {"repeatedAt": AFTER}])
def test_an_archive_from_before_the_erasure_cannot_be_held_against_it(times: dict[str, Any]) -> None:
    made, records = erased()
    report = report_of(export(company()), certificate(made, records, **times))
    assert (report.faults, report.status) == ([], 2)
    (told,) = report.unchecked
    assert told.startswith("2 records that the certificate names: ")
    assert AFTER in told
    # What it holds must fit all the same.
    assert report_of(export(made), certificate(made, records, **times)).status == 0
    rewritten = certificate(made, [], records=[named(records[0], hash="0" * 64)], **times)
    assert report_of(export(made), rewritten).status == 1


def test_another_company_s_certificate() -> None:
    made, records = erased()
    other = {"id": company(number=2).id, "name": "Globex"}
    assert faults(export(made), certificate(made, records, company=other)) == {"the certificate: is another company's"}


def test_a_subject_s_archive_does_not_hold_the_records() -> None:
    made, records = erased()
    report = report_of(export(made, chosen=lambda row: row["seq"] == 1), certificate(made, records))
    assert (report.faults, report.status) == ([], 2)
    assert "takes an archive of scope company" in report.unchecked[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "the certificate.body.version must be 1"),
        ({"erasureId": "x"}, "the certificate.body.erasureId must be a UUID in lower case"),
        ({"erasureId": None}, "the certificate.body.erasureId must be a UUID in lower case"),
        ({"company": []}, "the certificate.body.company must be an object"),
        ({"completedAt": "now"}, "the certificate.body.completedAt must be a time"),
        ({"records": {}}, "the certificate.body.records must be a list"),
        ({"records": [{"seq": 1}]}, "must have exactly the fields workspaceId, seq, eventId, hash, events"),
    ],
)
def test_what_has_not_the_form_of_a_certificate(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    made, records = erased()
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate(made, records, **change)))
    with pytest.raises(ValueError, match=reason):
        read_certificate(file)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is no JSON; it must be the certificate as HyreLog's API answers with it"),
        (b"<!doctype html>", "it is no JSON"),
        (b"PK\x03\x04\xff", "it is no JSON"),
        (b"[" * 100_000, "it is nested too deep"),
        (b"{}", "the certificate must have exactly the fields keyId, signature, body"),
        (b'{"erasureId": "x", "certificate": null}', "the certificate must be an object"),
        (b"[]", "the certificate must be an object"),
        (b"null", "the certificate must be an object"),
        (b'{"body": 1, "keyId": 1, "signature": 1}', "the certificate.body must be an object"),
    ],
)
def test_what_is_no_certificate(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "certificate.json").write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_certificate(tmp_path / "certificate.json")


def test_the_answer_of_the_api_holds_the_certificate(tmp_path: Path) -> None:
    made, records = erased()
    sound, file = certificate(made, records), tmp_path / "erasure.json"
    file.write_text(json.dumps({"erasureId": erasure_id(1), "progress": 1.0, "certificate": sound}))
    assert read_certificate(file) == sound


def test_a_certificate_without_a_canonical_form() -> None:
    made, records = erased()
    sound = certificate(made, records)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for strange in ("\ud800", deep):
        found = faults(export(made), {**sound, "body": sound["body"] | {"reason": strange}})
        assert any("it has no canonical form" in fault for fault in found)


def test_the_command_takes_a_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, records = erased()
    folder, file = str(unpacked(export(made), tmp_path / "export")), tmp_path / "certificate.json"
    file.write_text(json.dumps(certificate(made, records)))
    assert main([folder, "--key", HYRELOG.key, "--certificate", str(file)]) == 0
    file.write_text(json.dumps(certificate(made, records[:1], erasureId=erasure_id(2))))
    assert main([folder, "--key", HYRELOG.key, "--certificate", str(file)]) == 1
    file.write_text("{}")
    with pytest.raises(SystemExit):
        main([folder, "--certificate", str(file)])
    assert "--certificate: the certificate must have exactly the fields" in capsys.readouterr().err
