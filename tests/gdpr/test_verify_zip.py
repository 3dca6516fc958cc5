"""A zip in which two programs could find two things is a fault, whichever of them would find the sound ones."""

import io
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdpr.archiving import Archive
from gdpr.verify import verify
from tests.gdpr.archives import HYRELOG, company, export, zipped
from tests.gdpr.zips import IN_ZIP64, Part, end, end64, from_the_front, joined, locator, parts, written

SOUND = export(company())
PARTS = parts(SOUND)
FORGED = b"<h1>There are no events of you.</h1>"
UNICODE_PATH = b"up\x10\x00\x01" + bytes(4) + b"README.exe."
TIMES = b"UT\x05\x00\x01" + bytes(4)


def faults(archive: Any) -> list[str]:
    report = verify(archive, keys=[HYRELOG.key])
    assert report.status == (1 if report.faults else 0)
    return [str(fault) for fault in report.faults]


def refused(archive: io.BytesIO, because: str) -> None:
    (found,) = faults(archive)
    assert found.startswith("the zip: cannot be read: ")
    assert because in found


# Layouts that pass


class Unseekable(io.RawIOBase):
    """A pipe, say."""

    def __init__(self) -> None:
        self.written = io.BytesIO()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.written.write(data)


@pytest.mark.parametrize("limit", [zipfile.ZIP64_LIMIT, 2_000, 0], ids=["plain", "some in Zip64", "all in Zip64"])
@pytest.mark.parametrize("options", [{}, {"force_zip64": True}])
@pytest.mark.parametrize("pipe", [None, Unseekable])
def test_what_python_writes_passes(
    limit: int,
    options: dict[str, Any],
    pipe: type[Unseekable] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    file: Any = pipe() if pipe else io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in SOUND.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, len(content)
            with archive.open(entry, "w", **options) as opened:
                opened.write(content)
    written_to: io.BytesIO = file.written if pipe else file
    assert faults(written_to) == []
    assert from_the_front(written_to.getvalue()) == SOUND


def test_what_hyrelog_writes_passes(tmp_path: Path) -> None:
    with (tmp_path / "export.zip").open("w+b") as file, Archive(file) as archive:
        for name, content in SOUND.items():
            with archive.table(name) as entry:
                entry.write(content)
    assert faults(tmp_path / "export.zip") == []


def test_what_older_pythons_write_passes() -> None:
    sizes = [struct.pack("<2H2Q", 1, 16, *reversed(part.sizes[1:])) for part in PARTS]
    older = [replace(part, local_extra=extra) for part, extra in zip(PARTS, sizes, strict=True)]
    assert faults(written(older)) == []


def test_entries_behind_four_gigabytes_are_found(tmp_path: Path) -> None:
    hole = 5 << 30
    large = struct.pack("<2H2Q", 1, 16, 1, hole)
    before = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 33, 0, IN_ZIP64, IN_ZIP64, 1, 20) + b"x" + large
    first = (45 | 3 << 8, 45, 0, 8, 0, 33, 0, IN_ZIP64, IN_ZIP64, 1, 20, 0, 0, 0, 0o600 << 16, 0)
    directory = struct.pack("<4s6H3L5H2L", b"PK\1\2", *first) + b"x" + large
    body, at = b"", len(before) + hole
    for part in PARTS:
        extra = struct.pack("<2HQ", 1, 8, at + len(body))
        directory += replace(part, extra=extra).listed(IN_ZIP64)
        body += part.local()
    start, count = at + len(body), len(PARTS) + 1
    tail = end64(count=count, size=len(directory), start=start) + locator(start + len(directory))
    tail += end(count=count, size=len(directory), start=IN_ZIP64)
    with (tmp_path / "export.zip").open("wb") as file:
        file.write(before)
        file.seek(at)
        file.write(body + directory + tail)
    assert faults(tmp_path / "export.zip") == ["x: is not listed in the manifest: HyreLog did not put it there"]


# Two directories, or one that does not stand where it must

END = "does not end with its directory and the record of it"


def test_a_forged_directory_whose_last_comment_swallows_the_sound_one() -> None:
    sound, sound_directory = joined(PARTS)
    tail = len(sound_directory) + 56 + 20
    forged = parts({**SOUND, "README.html": FORGED})
    forged[-1].swallows = tail
    body, directory = joined(forged, start=len(sound))
    data = sound + body + directory + sound_directory
    at = len(data)
    data += end64(count=len(PARTS), size=len(sound_directory), start=at - len(sound_directory)) + locator(at)
    data += end(count=len(PARTS), size=len(directory) + tail, start=len(sound + body))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("README.html") == SOUND["README.html"]
    refused(io.BytesIO(data), END)


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("gap", range(4))
def test_the_records_of_zip64_stand_directly_behind_the_directory(gap: int, saturated: bool) -> None:  # noqa: FBT001
    body, directory = joined(PARTS)
    count, size, start = len(PARTS), len(directory), len(body)
    fill = [b"x" * (gap == place) for place in (1, 2, 3)]
    at = start + size + len(fill[0])
    data = body + directory + fill[0] + end64(count=count, size=size, start=start)
    data += fill[1] + locator(at) + fill[2]
    data += end(count=count, size=size, start=IN_ZIP64 if saturated else start)
    if gap or saturated:
        refused(io.BytesIO(data), END)
    else:
        assert faults(io.BytesIO(data)) == []


@pytest.mark.parametrize("field", range(8, 22))
def test_each_byte_of_the_end_counts(field: int) -> None:
    data = bytearray(zipped(SOUND).getvalue())
    data[field - 22] ^= 1
    assert faults(io.BytesIO(bytes(data)))


@pytest.mark.parametrize("count", [1, 22, 1_000, 65_535])
def test_bytes_behind_the_end(count: int) -> None:
    assert faults(io.BytesIO(zipped(SOUND).getvalue() + b"x" * count))
    commented = bytearray(zipped(SOUND).getvalue() + b"x" * count)
    struct.pack_into("<H", commented, len(commented) - count - 2, count)
    assert faults(io.BytesIO(bytes(commented)))


def test_bytes_around_the_directory() -> None:
    hidden = Part(b"README.html", FORGED).local()
    refused(written(PARTS, between=hidden), "the zip's directory does not begin where the last entry ends")
    refused(written(PARTS, behind=hidden), END)
    refused(io.BytesIO(b"MZ" + written(PARTS).getvalue()), END)


@pytest.mark.parametrize("place", range(len(PARTS)))
def test_an_entry_that_is_hidden_before_another(place: int) -> None:
    start, hidden = len(joined(PARTS[:place])[0]), Part(b"README.html", FORGED).local()
    before, directory = joined(PARTS[:place])
    body, others = joined(PARTS[place:], start=start + len(hidden))
    data, directory = before + hidden + body, directory + others
    data += directory + end(count=len(PARTS), size=len(directory), start=len(data))
    refused(io.BytesIO(data), f"{PARTS[place].name.decode()} does not begin where the entry before it ends")


def test_entries_that_share_bytes() -> None:
    body, _ = joined(PARTS)
    directory = b"".join(part.listed(0) for part in PARTS)
    data = body + directory + end(count=len(PARTS), size=len(directory), start=len(body))
    refused(io.BytesIO(data), "does not begin where the entry before it ends")


def test_entries_in_another_order_than_in_the_directory() -> None:
    body, directory = joined(PARTS)
    first = len(PARTS[0].listed(0))
    data = body + directory[first:] + directory[:first]
    refused(
        io.BytesIO(data + end(count=len(PARTS), size=len(directory), start=len(body))),
        "does not begin where the entry before it ends",
    )


def test_a_directory_of_any_size_is_not_read() -> None:
    many = io.BytesIO()
    with zipfile.ZipFile(many, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(25_000):
            archive.writestr(f"{number:06}", b"")
    refused(many, "the zip's directory has more than 1,048,576 bytes")


# Entries that say something else here than there

DIRECTORY = "README.html stands in the zip's directory in another way than docs/archive.md says"
HEADER = "README.html begins with a header that does not agree with the zip's directory"


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"extra": UNICODE_PATH}, DIRECTORY),
        ({"extra": TIMES}, DIRECTORY),
        ({"extra": struct.pack("<2HQ", 1, 8, 0)}, DIRECTORY),
        ({"extra": struct.pack("<2H", 1, 0)}, DIRECTORY),
        ({"local_extra": UNICODE_PATH}, HEADER),
        ({"local_extra": TIMES}, HEADER),
        ({"local_extra": struct.pack("<2H2Q", 1, 16, 0, 0)}, HEADER),
        ({"extra": TIMES, "local_extra": TIMES}, DIRECTORY),
        ({"comment": b"as you were"}, DIRECTORY),
        ({"swallows": 60}, DIRECTORY),
        ({"disk": 1}, DIRECTORY),
        ({"attributes": 0o120777 << 16}, DIRECTORY),
        ({"attributes": 0o40755 << 16}, DIRECTORY),
        ({"attributes": 0x10}, DIRECTORY),
        ({"flags": 1}, DIRECTORY),
        ({"flags": 0x800}, DIRECTORY),
        *(({"method": method}, DIRECTORY) for method in (0, 9, 12, 14, 93, 99, 65535)),
        ({"local_name": b"README.exe."}, HEADER),
        ({"local_name": b"README.html2"}, HEADER),
        ({"local_flags": 1}, HEADER),
        ({"local_flags": 8}, HEADER),
        ({"flags": 8, "local_flags": 0}, HEADER),
    ],
)
def test_what_programs_read_in_unlike_ways(changes: dict[str, Any], because: str) -> None:
    refused(written([replace(part, **changes) if part.name == b"README.html" else part for part in PARTS]), because)


@pytest.mark.parametrize("offset", range(30))
def test_each_byte_of_a_header_is_that_of_the_directory(offset: int) -> None:
    data = bytearray(written(PARTS).getvalue())
    data[offset] ^= 1
    assert len(faults(io.BytesIO(bytes(data)))) == 1


def test_sizes_behind_an_entry_are_those_of_the_directory() -> None:
    streamed = [replace(part, flags=8) for part in PARTS]
    assert faults(written(streamed)) == []
    sound = written(streamed).getvalue()
    at = len(streamed[0].local()) - 16
    for offset in range(16):
        changed = sound[: at + offset] + bytes([sound[at + offset] ^ 1]) + sound[at + offset + 1 :]
        refused(io.BytesIO(changed), "data/audit_company.ndjson ends with sizes that do not agree")


@pytest.mark.parametrize("changes", [{"behind": FORGED}, {"behind": b"\0"}, {"claimed": 1}, {"claimed": 1_000}])
def test_compressed_bytes_end_where_they_must(changes: dict[str, Any]) -> None:
    (found,) = faults(written([replace(part, **changes) if part.name == b"README.html" else part for part in PARTS]))
    assert found.startswith("README.html: cannot be read: its compressed bytes do not end where they must")


def test_compressed_bytes_that_are_cut_off() -> None:
    cut = [replace(part) for part in PARTS]
    cut[0].__dict__["packed"] = cut[0].packed[:-3]
    found, *_ = faults(written(cut))
    assert found.startswith("data/audit_company.ndjson: cannot be read: its compressed bytes do not end")


def test_a_name_that_stands_twice_in_the_zip() -> None:
    refused(written([*PARTS, Part(b"README.html", FORGED)]), "README.html stands in the zip twice")


@pytest.mark.parametrize("name", [b"../../x", b"/x", b"data/", b"README.html\0x", b"C:\\x", b"readme.html", b""])
def test_entries_that_are_not_listed(name: bytes) -> None:
    (found,) = faults(written([*PARTS, Part(name, b"")]))
    assert "is not listed in the manifest" in found


def test_names_are_ascii() -> None:
    refused(written([*PARTS, Part("é".encode(), b"")]), "stands in the zip's directory in another way")


# Any change


def is_harmless(data: bytes) -> bool:
    """Whether the verifier passes it; then each way to read it must yield what was signed."""
    if faults(io.BytesIO(data)):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == SOUND
    assert from_the_front(data) == SOUND
    return True


def test_hardly_a_bit_of_the_layout_can_change() -> None:
    sound = zipped(SOUND).getvalue()
    body, directory = sound[: sound.index(b"PK\1\2")], sound[sound.index(b"PK\1\2") :]
    harmless = 0
    for place in range(len(body), len(sound)):
        for bit in range(8):
            harmless += is_harmless(sound[:place] + bytes([sound[place] ^ 1 << bit]) + sound[place + 1 :])
    # Of each entry: the version of what made it, nine permissions, and that it is a file.
    assert harmless == len(SOUND) * (8 + 9 + 1)
    assert directory.count(b"PK\1\2") == len(SOUND)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_field_of_a_directory_brings_it_down(data: st.DataObject) -> None:
    sound = zipped(SOUND).getvalue()
    at = sound.index(b"PK\1\2") + data.draw(st.integers(0, 60))
    value = data.draw(st.binary(min_size=1, max_size=8))
    is_harmless(sound[:at] + value + sound[at + len(value) :])


@given(st.binary(min_size=1, max_size=120), st.integers(1, 120))
@settings(max_examples=150, deadline=None)
def test_no_end_of_a_zip_brings_it_down(tail: bytes, back: int) -> None:
    data = bytearray(zipped(SOUND).getvalue())
    data[-back : len(data) - back + len(tail)] = tail
    is_harmless(bytes(data))


@pytest.mark.parametrize("field", [12, 16], ids=["size", "offset"])
@pytest.mark.parametrize("change", [1, 10, 100_000, -10])
def test_a_zip_that_points_to_before_its_beginning(field: int, change: int, tmp_path: Path) -> None:
    data = bytearray(zipped(SOUND).getvalue())
    at = data.rindex(b"PK\x05\x06") + field
    (value,) = struct.unpack_from("<L", data, at)
    struct.pack_into("<L", data, at, value + change)
    (tmp_path / "export.zip").write_bytes(data)  # a real file refuses what a buffer in memory takes
    assert faults(tmp_path / "export.zip")
