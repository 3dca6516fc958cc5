"""What the verifier says of archives that are as they must be, and what it tells while it reads."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gdpr import verify as verifier
from gdpr.verify import describe, read_checkpoint, verify
from tests.gdpr.archives import EVENTS, FORGER, HYRELOG, Company, Row, company, export, unpacked, zipped

KEYS = [HYRELOG.key]
OF_ONE: Callable[[Row], bool] = lambda row: row["seq"] % 2 == 1  # noqa: E731
SCOPES = pytest.mark.parametrize("chosen", [None, OF_ONE], ids=["company", "subject"])


@SCOPES
def test_a_sound_archive_passes_as_a_zip_and_as_a_folder(chosen: Callable[[Row], bool] | None, tmp_path: Path) -> None:
    files = export(company(), chosen=chosen)
    (tmp_path / "export.zip").write_bytes(zipped(files).getvalue())
    for archive in (
        zipped(files),
        tmp_path / "export.zip",
        str(tmp_path / "export.zip"),
        unpacked(files, tmp_path / "x"),
    ):
        report = verify(archive, keys=[FORGER.key, *KEYS])
        assert (report.faults, report.unchecked, report.status) == ([], [], 0)
        assert (report.files, report.events) == (len(files) - 2, 4 if chosen else 7)
        assert report.bytes == sum(map(len, files.values()))


@pytest.mark.parametrize("events", [0, 1, 2, 33])
@SCOPES
def test_chains_of_any_length_pass(events: int, chosen: Callable[[Row], bool] | None) -> None:
    report = verify(zipped(export(company(events=events), chosen=chosen)), keys=KEYS)
    assert (report.faults, report.status) == ([], 0)


def test_a_company_without_any_chain_passes() -> None:
    names = {"0190": "system"}
    assert verify(zipped(export(Company(), workspaces=names)), keys=KEYS).status == 0


def test_without_a_key_something_is_left_unchecked() -> None:
    report = verify(zipped(export(company())))
    assert (report.faults, report.status) == ([], 2)
    assert "--key" in report.unchecked[0]
    assert "This would prove" in "\n".join(describe(report))


def test_what_it_proves_and_cannot_prove_is_said() -> None:
    told = "\n".join(describe(verify(zipped(export(company())), keys=KEYS)))
    assert "This proves:" in told
    assert "did not rewrite events before the earliest checkpoint" in told
    assert "all events of the subject were found" not in told
    assert "exit status 0" in told
    told = "\n".join(describe(verify(zipped(export(company(), chosen=OF_ONE)), keys=KEYS)))
    assert "all events of the subject were found" in told


def test_no_more_than_fifty_faults_are_kept_and_all_are_counted() -> None:
    made = company(events=300)
    files = export(made)
    files[EVENTS] = files[EVENTS].replace(b'"user.login"', b'"user.logon"')
    report = verify(zipped(files), keys=KEYS)
    assert (len(report.faults), report.fault_count) == (50, 450 + 1)
    assert "and 401 more" in "\n".join(describe(report))


@pytest.mark.parametrize("form", ["manifest", "zip", "folder", "alone"])
def test_an_earlier_checkpoint_lies_in_later_chains(form: str, tmp_path: Path) -> None:
    made = company()
    files = export(made)
    kept = tmp_path / "kept"
    if form == "folder":
        unpacked(files, kept)
    else:
        alone = json.dumps(made.checkpoint()).encode()
        kept.write_bytes({"manifest": files["manifest.json"], "zip": zipped(files).getvalue(), "alone": alone}[form])
    for _ in range(3):
        made.record(1)
        made.record(4)
    report = verify(zipped(export(made)), keys=KEYS, checkpoint=read_checkpoint(kept))
    assert (report.faults, report.status) == ([], 0)
    assert "nothing before it was rewritten" in "\n".join(describe(report))


def test_an_earlier_checkpoint_says_nothing_of_a_subjects_archive() -> None:
    made = company()
    report = verify(zipped(export(made, chosen=OF_ONE)), keys=KEYS, checkpoint=made.checkpoint())
    assert report.status == 2
    assert "takes an archive of scope company" in report.unchecked[0]
    assert "nothing before it was rewritten" not in "\n".join(describe(report))


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"checkpoint": 1}', "NaN", "[" * 100_000])
def test_what_holds_no_checkpoint_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011  each says something else
        read_checkpoint(tmp_path / "kept")
    with zipfile.ZipFile(tmp_path / "kept.zip", "w") as archive:
        archive.writestr("manifest.json", text)
    with pytest.raises(ValueError):  # noqa: PT011  each says something else
        read_checkpoint(tmp_path / "kept.zip")


def test_progress_is_told_in_small_steps_and_adds_up() -> None:
    files = export(company(events=2_000))
    files = export(company(events=2_000), redactions={"x": {"y": "z" * 3_000_000}})
    told: list[int] = []
    report = verify(zipped(files), keys=KEYS, advance=told.append)
    assert report.status == 0
    assert sum(told) == report.bytes == sum(map(len, files.values()))
    assert max(told) <= 256 * 1024
    fewest = min(map(len, files[EVENTS].splitlines()))
    assert max(told) / fewest < 1_000


@pytest.mark.parametrize("error", [ValueError, RuntimeError, zipfile.BadZipFile, KeyboardInterrupt, OSError])
@SCOPES
def test_what_the_caller_raises_meanwhile_passes_through(
    error: type[BaseException], chosen: Callable[[Row], bool] | None
) -> None:
    files = export(company(), chosen=chosen)
    steps: list[int] = []
    verify(zipped(files), keys=KEYS, advance=steps.append)
    for stop in range(1, len(steps) + 1):
        told: list[int] = []

        def advance(count: int, told: list[int] = told, stop: int = stop) -> None:
            told.append(count)
            if len(told) == stop:
                raise error("cancelled")

        with pytest.raises(error, match="cancelled"):
            verify(zipped(files), keys=KEYS, advance=advance)
        assert len(told) == stop


def test_a_disk_that_fails_is_no_fault_of_the_archive() -> None:
    class Failing:
        def __init__(self) -> None:
            self.file = zipped(export(company()))
            self.reads = 0

        def read(self, size: int = -1) -> bytes:
            self.reads += 1
            if self.reads > 12:
                raise OSError(5, "Input/output error")
            return self.file.read(size)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with pytest.raises(OSError, match="Input/output error"):
        verify(Failing(), keys=KEYS)  # type: ignore[arg-type]  # as much of a file as a reader needs


def test_a_line_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    made = company(events=1)
    made.record(1, payload={"text": "x" * 3_000_000})
    made.record(2)
    files = export(made)
    assert verify(zipped(files), keys=KEYS).status == 0
    monkeypatch.setattr(verifier, "MOST_TEXT", 1_000_000)
    report = verify(zipped(files), keys=KEYS)
    assert any("has more than 1,000,000 bytes" in fault.reason and fault.line == 2 for fault in report.faults)
    assert report.events == 1
