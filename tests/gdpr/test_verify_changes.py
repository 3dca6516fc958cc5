"""No byte of an archive can change without a fault."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdpr.verify import verify
from tests.gdpr.archives import HYRELOG, Files, company, export, unpacked, zipped
from tests.gdpr.zips import from_the_front

KEYS = [HYRELOG.key]
ERASED = company()
ERASED.erase(*ERASED.chains[ERASED.workspace(1)][:2])
ARCHIVES: list[Files] = [
    export(company()),
    export(company(), chosen=lambda row: row["seq"] != 2),
    export(ERASED),
    export(ERASED, chosen=lambda row: row["seq"] == 2),
]
ZIP = zipped(ARCHIVES[0]).getvalue()


def is_faulty(files: Files) -> bool:
    return verify(zipped(files), keys=KEYS).status == 1


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_every_change_of_a_byte_in_any_file_is_a_fault(data: st.DataObject) -> None:
    files = dict(data.draw(st.sampled_from(ARCHIVES)))
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    place = data.draw(st.integers(0, len(content)))
    byte = bytes([data.draw(st.integers(0, 255))])
    length = data.draw(st.sampled_from([0, 1]))  # replaced or deleted by one, inserted by none
    changed = content[:place] + data.draw(st.sampled_from([byte, b""])) + content[place + length :]
    assert is_faulty({**files, name: changed}) == (changed != content)


@pytest.mark.parametrize("name", ["signature.json", "context.json", "fields.json"])
def test_each_byte_of_the_small_files_counts(name: str) -> None:
    files = ARCHIVES[1]
    content = files[name]
    for place in range(len(content)):
        assert is_faulty({**files, name: content[:place] + content[place + 1 :]})
        assert is_faulty({**files, name: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]})


@pytest.mark.parametrize("files", ARCHIVES, ids=["company", "subject", "erased", "erased of a subject"])
def test_no_file_may_be_missing_and_none_may_be_more(files: Files, tmp_path: Path) -> None:
    for name in files:
        less = {other: data for other, data in files.items() if other != name}
        assert is_faulty(less)
        assert verify(unpacked(less, tmp_path / name.replace("/", "-")), keys=KEYS).status == 1
    assert is_faulty({**files, "data/more.ndjson": b""})
    folder = unpacked(files, tmp_path / "more")
    (folder / "data" / ".hidden").touch()
    assert [fault.file for fault in verify(folder, keys=KEYS).faults] == ["data/.hidden"]


@given(st.integers(0, len(ZIP) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_of_the_zip_is_a_fault_or_changes_no_content(place: int, change: int) -> None:
    changed = ZIP[:place] + bytes([ZIP[place] ^ change]) + ZIP[place + 1 :]
    if verify(io.BytesIO(changed), keys=KEYS).status == 0:
        with zipfile.ZipFile(io.BytesIO(changed)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == ARCHIVES[0]
        assert from_the_front(changed) == ARCHIVES[0]


@given(st.integers(0, len(ZIP) - 1))
@settings(max_examples=50, deadline=None)
def test_a_zip_that_was_cut_off_is_a_fault(end: int) -> None:
    assert verify(io.BytesIO(ZIP[:end]), keys=KEYS).status == 1


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_what_is_no_zip_is_a_fault(data: bytes) -> None:
    assert verify(io.BytesIO(data), keys=KEYS).status == 1
