"""Erased events: what the verifier says of sound ones, and of whatever would pass for one."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gdpr import verify as verifier
from gdpr.verify import Report, describe, verify
from tests import malformed
from tests.gdpr.archives import (
    ERASURES,
    EVENTS,
    HYRELOG,
    PROOFS,
    Company,
    Files,
    Row,
    company,
    erasure_id,
    export,
    proved_record,
    relist,
    reseal,
    seal,
    zipped,
)  # fmt: skip
from tests.gdpr.test_verify_hostile import at, places, replaced

KEYS = [HYRELOG.key]
Chosen = Callable[[Row], bool] | None
OF_FIRST: Chosen = lambda row: row["workspace_id"] == company().workspace(1)  # noqa: E731
SCOPES = pytest.mark.parametrize("chosen", [None, OF_FIRST], ids=["company", "subject"])
GONE = "its actor was erased without a record: the one that it names is not here, or not sound"
SALT = "0" * 64


def report_of(files: Files, **options: Any) -> Report:
    report = verify(zipped(files), keys=KEYS, **options)
    assert all(line.isprintable() for line in describe(report))
    return report


def reasons(files: Files, **options: Any) -> set[str]:
    return {fault.reason for fault in report_of(files, **options).faults}


def told(files: Files) -> str:
    return "\n".join(describe(report_of(files)))


def first(made: Company) -> list[Row]:
    return made.chains[made.workspace(1)]


def erased(*, system: int = 3, parts: tuple[str, ...] = ("actor", "content")) -> Company:
    """A company of which the events 1 and 2 of the first chain are erased."""
    made = company()
    made.system = system
    made.erase(*first(made)[:2], parts=parts)
    return made


# --- What is sound ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [("actor",), ("content",), ("actor", "content")])
@pytest.mark.parametrize("system", [0, 3], ids=["records first", "records last"])
@SCOPES
def test_erased_events_pass_and_are_told_by_request(chosen: Chosen, system: int, parts: tuple[str, ...]) -> None:
    made = erased(system=system, parts=parts)
    made.erase(first(made)[3], parts=parts, erasure=2)
    report = report_of(export(made, chosen=chosen))
    assert (report.faults, report.status) == ([], 0)
    assert report.erasures == {erasure_id(1): 2, erasure_id(2): 1}
    assert (report.erasure_count, report.erased_events) == (2, 3)
    said = told(export(made, chosen=chosen))
    assert "Events with erased parts, as the chain records it: 3" in said
    assert f"  2 by request {erasure_id(1)}" in said
    assert "it was erased as the chain records it" in said
    assert ("That no later erasure" in said) == (chosen is not None)


@SCOPES
def test_of_what_was_erased_again_the_latest_record_counts(chosen: Chosen) -> None:
    made = erased()
    made.erase(first(made)[1], parts=("content",), erasure=2)
    report = report_of(export(made, chosen=chosen))
    assert report.faults == []
    assert report.erasures == {erasure_id(1): 2, erasure_id(2): 1}
    assert report.erased_events == 2


@SCOPES
def test_of_many_requests_the_first_fifty_are_named(chosen: Chosen) -> None:
    made = company(events=60)
    for number, row in enumerate(first(made)[:55], start=1):
        made.erase(row, erasure=number)
    report = report_of(export(made, chosen=chosen))
    assert (report.faults, report.erasure_count, report.erased_events) == ([], 55, 55)
    assert list(report.erasures) == [erasure_id(number) for number in range(1, 51)]
    assert "and some by 5 more requests" in told(export(made, chosen=chosen))


def test_without_an_erased_event_nothing_is_said_of_any() -> None:
    assert "rased" not in told(export(company()))
    assert ERASURES not in export(erased(), chosen=lambda row: row["seq"] == 4)
    assert reasons(export(erased(), chosen=lambda row: row["seq"] == 4)) == set()


def test_the_records_of_others_events_are_no_fault_in_a_subjects_archive() -> None:
    assert reasons(export(erased(), chosen=lambda row: row["seq"] == 2)) == set()


def test_a_record_among_a_subjects_events_is_an_event_like_any_other() -> None:
    made = erased()
    assert reasons(export(made, chosen=lambda row: True)) == set()


# --- Forgeries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"actor_salt": None}, "the salt of its actor is missing: it was erased without a record"),
        ({"actor_salt": None, "actor_erased_by": "x"}, "the fresh salt of its actor is not 64 hex characters"),
        ({"actor_salt": None, "actor_fresh_salt": SALT},
         "its actor was erased without a record: it names none, or has no id by which a record could name it"),
        ({"actor_salt": None, "actor_fresh_salt": SALT, "actor_erased_by": ["x"]},
         "its actor was erased without a record: it names none, or has no id by which a record could name it"),
        ({"actor_salt": None, "actor_fresh_salt": SALT, "actor_erased_by": "\ud800"},
         "its actor was erased without a record: it names none, or has no id by which a record could name it"),
        ({"id": "\ud800", "actor_salt": None, "actor_fresh_salt": SALT, "actor_erased_by": erasure_id(1)},
         "its actor was erased without a record: it names none, or has no id by which a record could name it"),
        ({"actor_salt": None, "actor_fresh_salt": {"a": 1}, "actor_erased_by": erasure_id(1)},
         "the fresh salt of its actor is not 64 hex characters"),
        ({"actor_salt": None, "actor_fresh_salt": SALT, "actor_erased_by": erasure_id(1)}, GONE),
        ({"actor_erased_by": erasure_id(1)}, "its actor has its salt, and is said to be erased all the same"),
        ({"actor_fresh_salt": SALT}, "its actor has its salt, and is said to be erased all the same"),
        ({"content_fresh_salt": "", "actor": {"id": "u9"}},
         "its content has its salt, and is said to be erased all the same"),
    ],
)  # fmt: skip
@SCOPES
def test_a_salt_that_is_gone_is_no_licence(fields: dict[str, Any], reason: str, chosen: Chosen) -> None:
    assert reason in reasons(altered(export(company(), chosen=chosen), 1, **fields))
    if "id" not in fields:
        assert reason in reasons(altered(export(erased(), chosen=chosen), 3, **fields))


def altered(files: Files, line: int, name: str = EVENTS, **fields: Any) -> Files:
    lines = files[name].splitlines(keepends=True)
    row = json.loads(lines[line])
    changed = {"event": row["event"] | fields, "path": row["path"]} if name == ERASURES else row | fields
    lines[line] = json.dumps(changed).encode() + b"\n"
    return relist({**files, name: b"".join(lines)})


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"actor": {"id": "mallory"}}, "actor"),
        ({"actor_fresh_salt": SALT}, "actor"),
        ({"payload": {"by": "mallory"}}, "content"),
        ({"target": {}}, "content"),
        ({"payload": {"text": "\ud800"}}, "content"),
        ({"content_fresh_salt": SALT}, "content"),
    ],
)
@SCOPES
def test_what_was_altered_after_it_was_erased(fields: dict[str, Any], part: str, chosen: Chosen) -> None:
    found = reasons(altered(export(erased(), chosen=chosen), 1, **fields))
    assert found == {f"its {part} was altered after it was erased: it is not what the record at seq 1 lists"}


@SCOPES
def test_a_commitment_that_was_changed(chosen: Chosen) -> None:
    found = reasons(altered(export(erased(), chosen=chosen), 1, actor_commitment=SALT))
    assert found == {"its envelope was altered: it does not match its hash"}


@SCOPES
def test_another_part_than_the_record_lists(chosen: Chosen) -> None:
    made = erased(parts=("actor",))
    row = first(made)[0]
    row |= {"content_salt": None, "content_fresh_salt": SALT, "content_erased_by": row["actor_erased_by"]}
    assert reasons(export(made, chosen=chosen)) == {
        "its content was erased without a record: the one that it names does not list it"
    }


@SCOPES
def test_another_event_than_the_record_lists(chosen: Chosen) -> None:
    made = erased()
    row = first(made)[2]
    row |= {name: first(made)[0][name] for name in ("actor", "actor_salt", "actor_fresh_salt", "actor_erased_by")}
    assert reasons(export(made, chosen=chosen)) == {
        "its actor was erased without a record: the one that it names does not list it"
    }


@SCOPES
def test_what_an_older_record_lists_is_there_again(chosen: Chosen) -> None:
    made = company()
    row = first(made)[0]
    made.erase(row)
    before = dict(row)
    made.erase(row, erasure=2)
    later = dict(row)
    row |= before
    files = export(made, chosen=chosen)
    if chosen:  # the archive holds the later record only where one of its events names it
        row |= later
        held = export(made, chosen=chosen)
        row |= before
        alone = export(made, chosen=chosen)
        assert reasons(alone) == set()
        records = made.chains[made.workspace(3)]
        files = {**held, EVENTS: alone[EVENTS], ERASURES: b"".join(proved_record(one, made) for one in records)}
        files = relist(files)
    assert reasons(files) == {
        f"its {part} was erased again by the later record at seq 2, but is as it was before"
        for part in ("actor", "content")
    }


@pytest.mark.parametrize("system", [0, 3], ids=["records first", "records last"])
@SCOPES
def test_what_a_record_lists_is_there_again(chosen: Chosen, system: int) -> None:
    made = company()
    made.system = system
    rows = first(made)
    before = dict(rows[0])
    made.erase(rows[0], rows[1])
    rows[0] |= before
    report = report_of(export(made, chosen=chosen))
    assert {str(fault.reason) for fault in report.faults} == {
        f"its {part} was erased by request {erasure_id(1)}, but is still here" for part in ("actor", "content")
    }
    lines = enumerate(export(made, chosen=chosen)[EVENTS].splitlines(), start=1)
    line = next(number for number, text in lines if json.loads(text)["id"] == rows[0]["id"])
    assert {(fault.file, fault.line) for fault in report.faults} == {(EVENTS, line)}
    assert report.erasures == {erasure_id(1): 1}


def test_a_record_of_an_event_that_is_not_here() -> None:
    made = company()
    other = company(number=2)
    made.erase(first(made)[0], first(other)[0])
    report = report_of(export(made))
    reason = f"it lists the {{}} of event {first(other)[0]['id']}, which is not here"
    assert {fault.reason for fault in report.faults} == {reason.format("actor"), reason.format("content")}
    assert {fault.line for fault in report.faults} == {8}


def test_a_record_that_is_altered_counts_for_nothing() -> None:
    made = erased()
    listed = made.chains[made.workspace(3)][0]["payload"]
    listed["events"][0]["replaced"] = {}
    altered_itself = "its content was altered: it does not match its commitment"
    assert reasons(export(made)) == {altered_itself, GONE, GONE.replace("actor", "content")}


def test_a_record_that_is_missing_from_the_chain() -> None:
    made = erased()
    before = made.copy()
    before.chains[before.workspace(3)].clear()
    assert reasons(export(before)) == {GONE, GONE.replace("actor", "content")}


@pytest.mark.parametrize(
    "fields",
    [{"category": "auth"}, {"action": "gdpr.erasure.completed"}],
)
@SCOPES
def test_an_event_that_only_looks_like_a_record(fields: dict[str, str], chosen: Chosen) -> None:
    made = erased()
    record = made.chains[made.workspace(3)][0]
    seal(record | fields, prev_hash=record["prev_hash"])
    made.chains[made.workspace(3)][0] = seal({**record, **fields}, prev_hash=record["prev_hash"])
    assert {GONE, GONE.replace("actor", "content")} <= reasons(export(made, chosen=chosen))


@SCOPES
def test_a_record_in_another_chain_than_the_systems(chosen: Chosen) -> None:
    made = erased(system=2)
    names = {made.workspace(n): name for n, name in ((1, "production"), (2, "staging"), (3, "system"))}
    assert {GONE, GONE.replace("actor", "content")} <= reasons(export(made, chosen=chosen, workspaces=names))
    both = dict.fromkeys(made.chains, "system")
    assert {GONE, GONE.replace("actor", "content")} <= reasons(export(made, chosen=chosen, workspaces=both))


@SCOPES
def test_an_erasure_is_not_undone_by_calling_another_workspace_system(chosen: Chosen) -> None:
    made = company()
    before = dict(first(made)[0])
    made.erase(first(made)[0])
    first(made)[0] |= before
    first(made).append(made.chains[made.workspace(3)][0] | {"workspace_id": made.workspace(1)})
    reseal(first(made))
    made.chains[made.workspace(3)].clear()
    of_ours = "is an event of HyreLog's own, which stand in the workspace called system only"
    assert of_ours in reasons(export(made, chosen=chosen))
    assert of_ours in reasons(export(made, chosen=chosen, schema=2))


@pytest.mark.parametrize("called", [(), (1, 3)])
@SCOPES
def test_a_company_has_one_workspace_called_system(chosen: Chosen, called: tuple[int, ...]) -> None:
    made = company()
    names = {made.workspace(n): "system" if n in called else f"workspace {n}" for n in (1, 2, 3)}
    found = f"{len(called)} workspaces are called system; each company has one"
    assert reasons(export(made, chosen=chosen, workspaces=names)) == {found}


def test_a_record_of_another_company() -> None:
    made, other = company(), company(number=2)
    record = other.erase(first(made)[0])
    assert record["id"] == first(made)[0]["actor_erased_by"]
    assert reasons(export(made)) == {GONE, GONE.replace("actor", "content")}
    files = export(made, chosen=OF_FIRST)
    forged = {**files, ERASURES: proved_record(record, other)}
    assert {
        GONE,
        "is an event of another company",
        "is no record of an erasure in the chain of the workspace called system",
    } <= reasons(with_records(forged))


def test_a_record_that_is_erased_itself() -> None:
    made = erased()
    made.erase(made.chains[made.workspace(3)][0], parts=("actor",), erasure=2)
    assert "it records an erasure, and is erased itself" in reasons(export(made))


UNREADABLE: list[Any] = [
    {"erasureId": "\ud800", "events": []},
    *(
        {"erasureId": erasure_id(1), "events": [{"id": erasure_id(2), "actor": SALT, "replaced": {}} | strange]}
        for strange in ({"id": "\ud800"}, {"actor": "\ud800"})
    ),
]
"""By Postgres."""
NO_RECORDS = malformed.PAYLOADS + UNREADABLE


@pytest.mark.parametrize("payload", NO_RECORDS, ids=lambda payload: str(payload)[:80])
def test_a_record_that_has_not_its_form(payload: Any) -> None:
    made = erased()
    files = export(made)
    unsealed = altered(files, -1, payload=payload)
    assert "its content was altered: it does not match its commitment" in reasons(unsealed)
    if "ud800" not in json.dumps(payload):
        made.record(3, category="hyrelog", action="gdpr.erased", payload=payload)
        found = reasons(export(made))
        assert any(reason.startswith("it has not the form of the record of an erasure: payload") for reason in found)


@pytest.mark.parametrize("value", [None, True, -1, 1.0, 2**53 - 1, "x", "\0\ud800", [], [{}], {}])
@pytest.mark.parametrize("name", [EVENTS, ERASURES])
def test_any_value_in_any_place_is_checked(name: str, value: Any) -> None:
    files = export(erased(), chosen=OF_FIRST)
    whole = json.loads(files[name].splitlines()[0])
    for place in places(whole):
        if at(whole, place) == value:
            continue
        lines = [json.dumps(replaced(whole, place, value)).encode(), *files[name].splitlines()[1:]]
        report = verify(zipped(relist({**files, name: b"\n".join(lines) + b"\n"})))
        assert report.status == 1, place


@pytest.mark.parametrize("payload", malformed.GOOD, ids=lambda payload: str(payload)[:80])
def test_a_record_that_has_its_form(payload: Any) -> None:
    made = company()
    made.record(3, category="hyrelog", action="gdpr.erased", payload=payload)
    parts = sum(len(item) - 2 for item in payload["events"])
    report = report_of(export(made))
    assert report.fault_count == parts
    assert all(" of event 0" in fault.reason and "which is not here" in fault.reason for fault in report.faults)


def test_records_of_many_events_are_no_trouble() -> None:
    made = company()
    item: Row = {"actor": SALT, "replaced": {"actor": [0]}}
    for start in range(0, 20_000, 200):
        events = [{"id": f"{n:08x}-0000-0000-0000-000000000000", **item} for n in range(start, start + 200)]
        payload = {"erasureId": erasure_id(1), "events": events}
        made.record(3, category="hyrelog", action="gdpr.erased", payload=payload)
    report = report_of(export(made))
    assert (report.fault_count, len(report.faults)) == (20_000, 50)
    assert report.erasures == {}


def test_a_record_whose_id_is_none() -> None:
    made = erased()
    (record,) = made.chains[made.workspace(3)]
    record["id"] = "x" * 36
    seal(record, prev_hash=record["prev_hash"])
    assert "it records an erasure, and its id is no UUID" in reasons(export(made))


# --- The records in a subject's archive ------------------------------------------------------------------------------


def with_records(files: Files, change: Callable[[list[bytes]], list[bytes]] = lambda lines: lines) -> Files:
    """The archive with other records, and a manifest that agrees with them."""
    return relist({**files, ERASURES: b"".join(change(files[ERASURES].splitlines(keepends=True)))})


def of_two_erasures() -> Files:
    made = erased()
    made.erase(first(made)[3], erasure=2)
    return export(made, chosen=OF_FIRST)


def test_a_record_that_is_missing_from_a_subjects_archive() -> None:
    assert reasons(with_records(of_two_erasures(), lambda lines: lines[:1])) == {GONE, GONE.replace("actor", "content")}
    files = of_two_erasures()
    manifest = json.loads(files["manifest.json"])
    del files[ERASURES]
    manifest["files"] = [file for file in manifest["files"] if file["name"] != ERASURES]
    assert GONE in reasons(relist({**files, "manifest.json": json.dumps(manifest).encode()}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"payload": {"erasureId": erasure_id(9), "events": []}},
         "its content was altered: it does not match its commitment"),
        ({"actor": {"id": "mallory"}}, "its actor was altered: it does not match its commitment"),
        ({"action": "gdpr.erasure"}, "is no record of an erasure in the chain of the workspace called system"),
        ({"seq": 2}, "its proof does not lead to the root of the checkpoint"),
        ({"workspace_id": "\ud800"}, "is no record of an erasure in the chain of the workspace called system"),
        ({"content_salt": None}, "the salt of its content is missing: it was erased without a record"),
        ({"hash": SALT}, "its proof does not lead to the root of the checkpoint"),
        ({"seq": "1"}, "seq is not a whole number, or hash is not one"),
        ({"more": "1"}, "it has not the fields of an event"),
    ],
)  # fmt: skip
def test_a_record_of_a_subjects_archive_that_is_not_sound(fields: dict[str, Any], reason: str) -> None:
    found = reasons(altered(of_two_erasures(), 0, ERASURES, **fields))
    assert {reason, GONE} <= found


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b"{}", b'"x"', b"[" * 100_000, b"\xff", b'{"event":{},"path":[]}', b'{"event":1,"path":[]}',
     b'{"event":{},"path":["x"]}', b'{"event":{},"path":[],"more":1}'],
    ids=lambda line: repr(line[:20]),
)  # fmt: skip
def test_a_line_that_is_no_proved_record(line: bytes) -> None:
    report = report_of(with_records(of_two_erasures(), lambda lines: [*lines, line + b"\n"]))
    assert [(fault.file, fault.line) for fault in report.faults] == [(ERASURES, 3)]


def test_the_proofs_of_records_are_checked() -> None:
    def shorten(lines: list[bytes]) -> list[bytes]:
        proved = json.loads(lines[0])
        return [json.dumps(proved | {"path": proved["path"][:-1]}).encode() + b"\n", lines[1]]

    assert {"its proof does not lead to the root of the checkpoint", GONE} <= reasons(
        with_records(of_two_erasures(), shorten)
    )


def test_records_stand_in_order_and_once() -> None:
    for change in (lambda lines: lines[::-1], lambda lines: [lines[0], *lines]):
        assert "stands twice or out of order" in reasons(with_records(of_two_erasures(), change))


def test_an_event_that_is_no_record_has_no_place_among_them() -> None:
    made = erased()
    told = made.record(3, category="hyrelog", action="gdpr.erasure.completed")
    files = export(made, chosen=OF_FIRST)
    files[ERASURES] += proved_record(told, made)
    record = made.chains[made.workspace(3)][0]
    files[ERASURES] = proved_record(record, made) + proved_record(told, made)
    assert reasons(relist(files)) == {"is no record of an erasure in the chain of the workspace called system"}


def test_only_a_subjects_archive_has_records_beside_its_events() -> None:
    made = erased()
    files = export(made, chosen=OF_FIRST)
    manifest = json.loads(files["manifest.json"])
    held = {name: data for name, data in export(made).items() if name not in {"manifest.json", "signature.json"}}
    listed = [file for file in manifest["files"] if file["name"] != PROOFS]
    whole = {**manifest, "scope": "company", "subject": None, "files": listed}
    mixed = {**held, ERASURES: files[ERASURES], "manifest.json": json.dumps(whole).encode()}
    reason = f"{ERASURES} is listed, which only archives of a subject hold, from version 3 on"
    assert reason in reasons(relist(mixed))


# --- What it takes ---------------------------------------------------------------------------------------------------


def test_no_database_is_made_where_nothing_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a database was made")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert reasons(export(company())) == set()
    with pytest.raises(AssertionError):
        report_of(export(erased()))


def test_a_python_without_sqlite_leaves_erased_events_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "sqlite3", None)
    assert report_of(export(company())).status == 0
    report = report_of(export(erased()))
    assert (report.status, report.faults) == (2, [])
    assert report.unchecked == ["the erased events: this Python was built without sqlite3; take another one"]


def test_a_temporary_file_that_fails_is_no_fault_of_the_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(OSError, match=r"\(TMPDIR\) fails: database or disk is full"):
        report_of(export(erased()))


# --- Version 2 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "events"), [("company", 5), ("subject", 3)])
def test_archives_that_were_made_before_there_were_erasures_pass(scope: str, events: int) -> None:
    report = verify(Path(__file__).parent / "old_archives" / f"schema-2-{scope}.zip", keys=KEYS)
    assert (report.faults, report.unchecked, report.status) == ([], [], 0)
    assert report.manifest
    assert (report.manifest["schemaVersion"], report.manifest["scope"], report.events) == (2, scope, events)


@SCOPES
def test_version_2_knows_no_erased_event(chosen: Chosen) -> None:
    assert reasons(export(company(), chosen=chosen, schema=2)) == set()
    made = erased()
    assert reasons(export(made, chosen=chosen, schemaVersion=2)) >= {"it has not the fields of an event"}
    assert {
        "the salt of its actor is missing: it was erased without a record",
        "the salt of its content is missing: it was erased without a record",
    } <= reasons(export(made, chosen=chosen, schema=2))
    assert "it has not the fields of an event" in reasons(export(company(), chosen=chosen, schema=2, schemaVersion=3))
