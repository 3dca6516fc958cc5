"""What every storage of archives does, asked of a folder and of a bucket."""

import os
import secrets
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages

from gdpr import storage
from tests.gdpr.s3_server import S3Bucket

CONTENT = secrets.token_bytes(700_000)
JOB = uuid.UUID(int=1)


@dataclass
class Kept:
    """A storage, seen from outside of HyreLog."""

    names: Callable[[], set[str]]
    """Of everything in it, drafts too."""
    put: Callable[[str], object]
    """A file that nobody published."""


@pytest.fixture(params=["folder", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> Kept:
    if request.param == "folder":
        settings.EXPORT_STORAGE = folder = tmp_path / "exports"
        folder.mkdir()
        return Kept(lambda: {path.name for path in folder.iterdir()}, lambda name: (folder / name).write_bytes(b"x"))
    bucket: S3Bucket = request.getfixturevalue("bucket")
    prefix = f"{bucket.location.prefix}/"

    def names() -> set[str]:
        drafts = {storage.draft_name(key.removeprefix(prefix)) for key in bucket.uploads}
        return {key.removeprefix(prefix) for key in bucket.keys} | drafts

    return Kept(names, lambda name: bucket.put(prefix + name))


def publish(name: str, content: bytes = CONTENT) -> None:
    with storage.draft(name) as file:
        file.write(content)
        storage.publish(name, file)


def test_what_was_published_is_read_back_whole_and_in_ranges(kept: Kept) -> None:
    publish("a.zip")
    assert (storage.holds("a.zip"), storages["exports"].size("a.zip"), kept.names()) == (True, len(CONTENT), {"a.zip"})
    with storage.open_file("a.zip") as file:
        assert file.read() == CONTENT
        for start, length in [(0, 10), (300_000, 262_144), (299_990, 20), (len(CONTENT) - 5, 100), (len(CONTENT), 1)]:
            assert file.seek(start) == start
            assert file.read(length) == CONTENT[start : start + length]
        assert file.seek(-7, os.SEEK_END) == len(CONTENT) - 7
        assert file.read() == CONTENT[-7:]
        assert file.tell() == len(CONTENT)
        assert file.seek(0) == 0
        assert file.read(3) == CONTENT[:3]


def test_a_published_zip_is_opened_where_it_lies(kept: Kept) -> None:
    with storage.draft("a.zip") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            for n in range(20):
                made.writestr(f"data/{n}", CONTENT[n:])
        storage.publish("a.zip", file)
    with storage.open_file("a.zip") as file, zipfile.ZipFile(file) as sealed:
        assert sealed.read("data/17") == CONTENT[17:]
        assert sealed.testzip() is None


def test_an_empty_file_is_published_too(kept: Kept) -> None:
    publish("a.zip", b"")
    assert storages["exports"].size("a.zip") == 0
    with storage.open_file("a.zip") as file:
        assert file.read() == b""


def test_a_draft_is_read_back_and_is_gone_unless_it_was_published(kept: Kept) -> None:
    with storage.draft("a.zip") as file:
        file.write(CONTENT)
        file.seek(100)
        assert file.read(10) == CONTENT[100:110]
        assert not storage.holds("a.zip")
    assert kept.names() == set()


def test_a_publishing_that_is_stopped_leaves_nothing(kept: Kept) -> None:
    class StopHere(Exception):
        pass

    def stop(_: int) -> None:
        raise StopHere

    with pytest.raises(StopHere), storage.draft("a.zip") as file:  # noqa: PT012  the draft ends in it too
        for _ in range(60):
            file.write(CONTENT)
        storage.publish("a.zip", file, advance=stop)
    assert not storage.holds("a.zip")
    assert kept.names() == set()


def test_what_is_missing_is_no_error_to_delete_and_one_to_read(kept: Kept) -> None:
    storage.delete("a.zip")
    assert not storage.holds("a.zip")
    for ask in (storage.open_file, storages["exports"].size):
        with pytest.raises(FileNotFoundError):
            ask("a.zip")
    publish("a.zip")
    storage.delete("a.zip")
    assert kept.names() == set()


def test_everything_of_an_attempt_is_cleared_and_nothing_of_another(kept: Kept) -> None:
    for name in (f"{JOB}-1.zip", f"{JOB}-1.zip.csv", f"{JOB}-2.zip", f"{JOB}-11.zip"):
        kept.put(name)
    storage.clear(f"{JOB}-1.zip")
    assert kept.names() == {f"{JOB}-2.zip", f"{JOB}-11.zip"}


def test_strays_are_old_and_bear_a_name_of_ours(kept: Kept) -> None:
    ours = {f"{JOB}-{n}.zip" for n in range(1, 4)}
    for name in (*ours, "payroll.csv", f"{JOB}.zip", f"{JOB}-1.zip.part", f".{JOB}-4.zip"):
        kept.put(name)
    now = datetime.now(UTC)
    assert storage.strays(before=now + timedelta(minutes=1)) == ours
    assert storage.strays(before=now - timedelta(minutes=1)) == set()


def test_a_full_disk_is_told_with_its_folder(kept: Kept) -> None:
    with pytest.raises(storage.StorageUnavailable, match=r"disk of /.+ is full: make room"), storage.draft("a.zip"):
        Path("/dev/full").write_bytes(b"x")


def test_a_storage_within_reach_is_said_to_be(kept: Kept) -> None:
    storage.reach()


def test_a_folder_that_is_none_is_out_of_reach_and_looking_makes_none(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = tmp_path / "exports"
    storage.reach()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "exports").write_bytes(b"")
    with pytest.raises(storage.StorageUnavailable, match="exports is no folder"):
        storage.reach()
