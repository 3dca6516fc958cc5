"""Archives made to harm whoever verifies them end in faults: never in a traceback, never in an endless loop."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gdpr.verify import describe, verify
from tests.gdpr.archives import EVENTS, HYRELOG, Files, company, export, relist, sign, unpacked, zipped

KEYS = [HYRELOG.key]
SOUND = export(company())
MANIFEST: dict[str, Any] = json.loads(SOUND["manifest.json"])


def faults(archive: Any, **options: Any) -> list[str]:
    report = verify(zipped(archive) if isinstance(archive, dict) else archive, **{"keys": KEYS, **options})
    assert (report.status == 1) == bool(report.faults)
    told = "\n".join(describe(report))
    assert all(c.isprintable() or c == "\n" for c in told)
    return [str(fault) for fault in report.faults]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Each place within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *[place for name, item in inner for place in places(item, (*at, name))]]


def replaced(value: Any, at: tuple[Any, ...], by: Any) -> Any:
    if not at:
        return by
    copy = value.copy()
    copy[at[0]] = replaced(value[at[0]], at[1:], by)
    return copy


def at(value: Any, place: tuple[Any, ...]) -> Any:
    return at(value[place[0]], place[1:]) if place else value


PLACES = places(MANIFEST)
STATED = {
    ("company", "name"),
    ("checkpoint", "body", "chains", 2, "workspaceId"),  # of the chain without events
    *((name,) for name in ("redactions", "excluded", "workspaces", "request", "attempt", "readFrom", "readUntil")),
}


@pytest.mark.parametrize("value", [None, True, -1, 1.0, 2**53 - 1, 2**63, "x", "\0\ud800", [], [{}], {}])
def test_any_value_in_any_place_of_a_manifest_is_checked(value: Any) -> None:
    for place in PLACES:
        changed = json.dumps(replaced(MANIFEST, place, value)).encode()
        found = faults({**SOUND, "manifest.json": changed}, keys=[])
        # What HyreLog states, and signs, cannot be compared with anything in the archive; signatures need a key.
        free = {place[:1], place[:2], place[-1:], place} & STATED or (*place[-1:], value) == ("table", None)
        assert found or value == at(MANIFEST, place) or free, place


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"NaN", b'"x"', b"[" * 200_000, b'{"a":' * 200_000, b"1" * 1_000_000,
     b"\xff\xfe{}", b'{"format": NaN}', b'{"format": 1e999}',
     b'{"format":"hyrelog-export","format":"x"}', b"\xef\xbb\xbf{}"],
    ids=lambda text: repr(text[:16]),
)  # fmt: skip
def test_a_manifest_that_is_no_json_object(text: bytes) -> None:
    assert faults(sign(SOUND, text))
    assert faults({**SOUND, "signature.json": text[:4_000]})
    assert faults({**SOUND, "signature.json": text.ljust(5_000)})


@pytest.mark.parametrize(
    "name",
    ["../data/x", "/etc/passwd", "data/../../x", "data//x", "data\\x", "C:x", "", ".", "..", "data/", "x\n", "é", "x\0",
     "~/x y", "a" * 5_000, "./data/x", "\u202egnp.exe"],
)  # fmt: skip
def test_names_that_lead_out_of_the_archive_are_refused(name: str, tmp_path: Path) -> None:
    entry = {"name": name, "table": None, "rows": None, "bytes": 0, "sha256": "0" * 64}
    changed = json.dumps({**MANIFEST, "files": [*MANIFEST["files"], entry]}).encode()
    for archive in (zipped(sign(SOUND, changed)), unpacked(sign(SOUND, changed), tmp_path)):
        assert any("must be the name of a file inside the archive" in fault for fault in faults(archive))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: [*files, files[0]], "is listed twice"),
        (lambda files: [*files, {**files[-1], "name": "manifest.json"}], "must not be listed"),
        (lambda files: [*files, {**files[-1], "name": "signature.json"}], "must not be listed"),
        (lambda files: files[1:], "is not listed in the manifest"),
        (lambda files: [{**files[0], "rows": 2}, *files[1:]], "the counts are not the rows of the files"),
        (lambda files: [{**files[0], "rows": None}, *files[1:]], "rows or a table that do not go with its name"),
        (lambda files: [{**files[0], "table": "audit_apikey"}, *files[1:]], "a table that do not go with its name"),
        (lambda files: [*files[:-1], {**files[-1], "rows": 1}], "rows or a table that do not go with its name"),
        (lambda files: [*files, {**files[0], "name": "data/audit_company.ndjson/x"}], "is missing"),
    ],
)
def test_files_that_are_listed_wrongly(change: Callable[[Any], Any], reason: str, tmp_path: Path) -> None:
    files = sign(SOUND, json.dumps({**MANIFEST, "files": change(MANIFEST["files"])}).encode())
    assert any(reason in fault for fault in faults(files))
    assert any(reason in fault for fault in faults(unpacked(files, tmp_path)))


@pytest.mark.parametrize("rows", [0, 2, 2**53 - 1])
@pytest.mark.parametrize("name", ["data/audit_company.ndjson", "data/audit_auditevent.csv", EVENTS])
def test_rows_are_counted(name: str, rows: int) -> None:
    files = [{**file, "rows": rows} if file["name"] == name else file for file in MANIFEST["files"]]
    counts = {**MANIFEST["counts"], **({} if name.endswith("csv") else {name[5:-7]: rows})}
    found = faults(sign(SOUND, json.dumps({**MANIFEST, "files": files, "counts": counts}).encode()))
    assert len(found) == 1
    assert f"rows, not the {rows} of the manifest" in found[0]


def test_a_file_that_yields_more_than_is_listed_is_cut_off() -> None:
    bomb = relist({**SOUND, "README.html": b"x"})
    bomb["README.html"] = bytes(100_000_000)
    read: list[int] = []
    found = faults(bomb, advance=read.append)
    assert found == ["README.html: has more bytes than the 1 of the manifest"]
    assert sum(read) < 1_000_000


def test_sizes_that_no_file_has_are_not_waited_for() -> None:
    files = [{**file, "bytes": 2**53 - 1} for file in MANIFEST["files"]]
    assert len(faults(sign(SOUND, json.dumps({**MANIFEST, "files": files}).encode()))) == len(files)


def test_long_names_cost_no_more_than_their_length() -> None:
    many = {"x" * 10_000_000: dict.fromkeys(map(str, range(100_000)), 1)}
    found = faults(sign(SOUND, json.dumps({**MANIFEST, "redactions": many}).encode()))
    assert len(found) == 50
    assert max(map(len, found)) < 5_000


def test_lone_surrogates_in_a_checkpoint_have_no_canonical_form() -> None:
    text = SOUND["manifest.json"].replace(b'"companyId": "0', b'"companyId": "\\ud800')
    assert any("has no canonical form" in fault for fault in faults(sign(SOUND, text)))


def test_hostile_text_does_not_reach_the_terminal() -> None:
    name = "Acme\x1b[2J\u202e\r\n\u2028\x9bOK: every check passed\ud800"
    files = sign(SOUND, json.dumps({**MANIFEST, "company": {**MANIFEST["company"], "name": name}}).encode())
    report = verify(zipped({**files, "\x1b]0;x\x07": b""}), keys=KEYS)
    told = list(describe(report))
    assert all(line.isprintable() for line in told)
    assert "Acme\\x1b[2J\\u202e\\r\\n\\u2028\\x9bOK" in told[0]
    assert any("\\x1b]0;x\\x07" in line for line in told)


# The folder


@pytest.mark.parametrize("name", ["README.html", "data/audit_company.ndjson"])
def test_links_are_not_followed(name: str, tmp_path: Path) -> None:
    folder = unpacked(SOUND, tmp_path / "export")
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    assert any("symbolic link" in fault for fault in faults(folder))


def test_folders_that_are_links_are_not_followed(tmp_path: Path) -> None:
    folder = unpacked(SOUND, tmp_path / "export")
    (folder / "data").rename(tmp_path / "elsewhere")
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    (folder / "more").symlink_to("/")
    found = faults(folder)
    assert any("symbolic link" in fault for fault in found)
    assert any("more: is not listed" in fault for fault in found)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nowhere")])
@pytest.mark.parametrize("name", ["README.html", "manifest.json", "signature.json", EVENTS])
def test_what_is_no_file_is_not_opened(make: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    folder = unpacked(SOUND, tmp_path / "export")
    (folder / name).unlink()
    make(folder / name)
    assert any(fault.startswith(f"{name}: cannot be read") for fault in faults(folder))


def test_an_empty_folder_is_no_archive(tmp_path: Path) -> None:
    assert faults(tmp_path) == ["manifest.json: is missing", "signature.json: is missing"]


def test_files_are_those_of_the_spec() -> None:
    for name in ("README.html", "verify.py", "context.json", "fields.json", EVENTS):
        less: Files = {other: data for other, data in SOUND.items() if other != name}
        manifest = {**MANIFEST, "files": [file for file in MANIFEST["files"] if file["name"] != name]}
        assert f"manifest.json: {name} is not listed" in faults(sign(less, json.dumps(manifest).encode()))
