"""What only a bucket does: uploads in parts, reads in ranges, errors of the network."""

import os
import secrets
import tracemalloc
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from django.core.files.storage import storages
from django.core.management import call_command

from gdpr import bucket as s3
from gdpr import storage
from gdpr.uploading import PART
from hyrelog.env import S3Location
from tests.gdpr.s3_server import CREDENTIALS, PAGE, S3Bucket, as_settings
from tests.system import wait_until

NAME = f"{uuid.UUID(int=1)}-1.zip"
PARTS = 5


class StopHere(Exception):
    pass


@pytest.fixture
def impatient(bucket: S3Bucket, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for half a minute."""
    monkeypatch.setattr(s3, "CONFIG", s3.CONFIG.merge(Config(read_timeout=0.5, retries={"total_max_attempts": 1})))
    use(bucket.location, settings)


def use(location: S3Location, settings: Any) -> None:
    settings.STORAGES = settings.STORAGES | {"exports": as_settings(location)}


def publish(*, parts: int = PARTS, advance: Callable[[int], None] = lambda _: None) -> None:
    with storage.draft(NAME) as file:
        for _ in range(parts):
            file.write(os.urandom(PART))
        storage.publish(NAME, file, advance=advance)


def test_nothing_is_to_be_seen_before_it_is_whole_and_it_is_told_how_far_it_is(bucket: S3Bucket) -> None:
    told: list[int] = []
    bucket.gate.hold_after(3 * PART)

    seen: list[tuple[list[str], list[str]]] = []

    def look_while_it_is_held(sent: int) -> None:
        told.append(sent)
        if sum(told) and not seen:
            seen.append((bucket.keys, bucket.uploads))
            bucket.gate.hold_after(None)

    publish(advance=look_while_it_is_held)
    assert seen == [([], [f"hyrelog/archives/{NAME}"])]
    assert 0 < sum(told) <= PARTS * PART
    assert (bucket.keys, bucket.uploads) == ([f"hyrelog/archives/{NAME}"], [])
    assert storages["exports"].size(NAME) == PARTS * PART


def test_an_upload_is_stopped_though_the_storage_hangs_and_is_aborted_once_it_goes_on(bucket: S3Bucket) -> None:
    bucket.gate.hold_after(PART + PART // 2)

    def stop_in_the_middle(_: int) -> None:
        if bucket.uploads and bucket.gate.sent > PART:
            raise StopHere

    with pytest.raises(StopHere):
        publish(advance=stop_in_the_middle)
    assert bucket.keys == []
    bucket.gate.hold_after(None)
    wait_until(lambda: not bucket.uploads, seconds=20, what="the upload's end")
    assert bucket.keys == []


def test_an_upload_that_fails_leaves_nothing(bucket: S3Bucket, impatient: None) -> None:
    bucket.gate.hold_after(PART + PART // 2)

    def let_the_rest_through(_: int) -> None:
        if bucket.gate.sent > PART:
            bucket.gate.cut()
            bucket.gate.hold_after(None)

    with pytest.raises(storage.StorageUnavailable, match="no answer"):
        publish(advance=let_the_rest_through)
    assert (bucket.keys, bucket.uploads) == ([], [])


def test_a_part_that_broke_is_sent_again(bucket: S3Bucket) -> None:
    bucket.gate.hold_after(PART + PART // 2)

    def break_once(_: int) -> None:
        if bucket.gate.sent > PART and not broken:
            broken.append(True)
            bucket.gate.cut()
            bucket.gate.hold_after(None)

    broken: list[bool] = []
    publish(advance=break_once)
    assert broken
    assert storages["exports"].size(NAME) == PARTS * PART


def test_an_upload_whose_process_died_is_a_stray_and_is_cleared(bucket: S3Bucket) -> None:
    for name in (NAME, f"{NAME}.csv"):
        key = f"{bucket.location.prefix}/{name}"
        bucket.client.create_multipart_upload(Bucket=bucket.location.bucket, Key=key)
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert storage.strays(before=later) == {storage.draft_name(NAME)}
    storage.delete(storage.draft_name(NAME))
    assert bucket.uploads == [f"{bucket.location.prefix}/{NAME}.csv"]
    storage.clear(NAME)
    assert bucket.uploads == []


def test_listings_are_read_page_by_page_and_stay_in_their_folder(bucket: S3Bucket) -> None:
    names = {f"{uuid.uuid4()}-1.zip" for _ in range(2 * PAGE + 1)}
    for name in names:
        bucket.put(f"{bucket.location.prefix}/{name}")
    elsewhere = [f"{bucket.location.prefix}/old/{NAME}", f"hyrelog/{NAME}", NAME]
    for key in elsewhere:
        bucket.put(key)
    assert storage.strays(before=datetime.now(UTC) + timedelta(minutes=1)) == names


def test_reads_cost_about_what_they_read(bucket: S3Bucket) -> None:
    publish()
    with storage.open_file(NAME) as file:
        before = bucket.gate.received
        for start in (3 << 20, 30 << 20, 9 << 20):
            file.seek(start)
            assert len(file.read(256 << 10)) == 256 << 10
        assert bucket.gate.received - before < 3 * (300 << 10)
        file.seek(0)
        before = bucket.gate.received
        while file.read(256 << 10):
            pass
        assert bucket.gate.received - before < 1.01 * PARTS * PART


def test_memory_is_bounded_while_a_large_archive_is_published_and_read(bucket: S3Bucket) -> None:
    chunk = secrets.token_bytes(1 << 20)
    storage.reach()  # what boto3 loads once is not counted
    tracemalloc.start()
    try:
        with storage.draft(NAME) as file:
            with zipfile.ZipFile(file, "w") as made, made.open("data", "w") as entry:
                for _ in range(100):
                    entry.write(chunk)
            storage.publish(NAME, file)
        published = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with storage.open_file(NAME) as file, zipfile.ZipFile(file) as sealed:
            assert sealed.testzip() is None
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert storages["exports"].size(NAME) > 100 << 20
    assert published < 16 << 20
    assert read < 16 << 20


def test_an_answer_that_breaks_off_is_asked_for_again(bucket: S3Bucket) -> None:
    publish()
    with storage.open_file(NAME) as file:
        whole = file.read()
        file.seek(0)
        assert file.read(10) == whole[:10]
        bucket.gate.cut()
        assert file.read() == whole[10:]


def everything() -> list[Callable[[], object]]:
    return [
        publish,
        lambda: storage.holds(NAME),
        lambda: storages["exports"].size(NAME),
        lambda: storage.open_file(NAME),
        lambda: storage.clear(NAME),
        lambda: storage.strays(before=datetime.now(UTC)),
        storage.reach,
    ]


def refusals() -> set[str]:
    """What everything that asks a storage is told."""
    told = set()
    for ask in everything():
        with pytest.raises(storage.StorageUnavailable) as refused:
            ask()
        told.add(str(refused.value))
    return told


def test_a_bucket_that_is_not_there_is_named(bucket: S3Bucket, settings: Any) -> None:
    use(S3Location(bucket="no-such-bucket", prefix="x"), settings)
    for told in refusals():
        assert "Bucket 'no-such-bucket'" in told
        assert "there is no such bucket" in told


def test_credentials_that_are_refused_are_told_of_and_not_shown(bucket: S3Bucket) -> None:
    with bucket.refusing_strangers():
        found = refusals()
    for told in found:
        assert f"Bucket '{bucket.location.bucket}'" in told
        assert "does not accept these credentials" in told or "lack a right" in told
        assert not any(secret in told for secret in CREDENTIALS.values())


def test_missing_credentials_are_told_of(bucket: S3Bucket, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    use(bucket.location, settings)
    for told in refusals():
        assert "no credentials: set AWS_ACCESS_KEY_ID" in told


def test_an_endpoint_that_is_none_is_told_of(bucket: S3Bucket, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "s3.example.com")
    use(bucket.location, settings)
    for told in refusals():
        assert "AWS_ENDPOINT_URL_S3" in told


def test_a_storage_that_does_not_answer_is_told_of(bucket: S3Bucket, impatient: None) -> None:
    bucket.gate.hold_after(0)
    for told in refusals():
        assert "no answer in time" in told


@pytest.mark.parametrize("name", ["present", "missing"])
def test_check_deploy_says_whether_the_bucket_can_be_reached(
    name: str, bucket: S3Bucket, settings: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    if name == "missing":
        use(S3Location(bucket="no-such-bucket", prefix=""), settings)
    call_command("check", "--deploy")
    said = capfd.readouterr().err
    assert ("hyrelog.W002" in said, "no such bucket" in said) == (name == "missing",) * 2
