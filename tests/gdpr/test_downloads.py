import hashlib
import io
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test import AsyncClient
from django.utils import timezone

from audit.models import AuditEvent, company
from gdpr import downloading
from gdpr.clients import Client
from gdpr.downloading import CHUNK, LAST, TakenOver
from gdpr.models import DownloadLink, ExportArchive
from hyrelog import housekeeping
from hyrelog.ops.logs import RedactingFormatter
from tests.api import Api
from tests.conftest import Tenant
from tests.gdpr.conftest import CONTENT


@pytest.fixture(autouse=True)
def do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client goes away unseen here: nobody need look for it."""
    monkeypatch.setattr(downloading, "LOOK_FOR", 0)


async def fetch(url: str, method: str = "get", **headers: str) -> tuple[Any, bytes]:
    response = await getattr(AsyncClient(), method)(url, headers=headers)
    if not response.streaming:
        return response, response.content
    return response, b"".join([chunk async for chunk in response.streaming_content])


get: Callable[..., tuple[Any, bytes]] = async_to_sync(fetch)


def test_a_link_serves_the_archive_once(url: str) -> None:
    response, body = get(url)
    assert (response.status_code, body) == (200, CONTENT)
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["cache-control"] == "private, no-store"
    assert ".zip" in response.headers["content-disposition"]
    again, error = get(url)
    assert again.status_code == 410
    assert b"one complete download" in error
    assert AuditEvent.objects.filter(action="gdpr.export.downloaded").count() == 1


def test_two_downloads_at_once_are_one_too_many(url: str) -> None:
    async def both() -> tuple[Any, Any]:
        first: Any = await AsyncClient().get(url)
        second = await AsyncClient().get(url)
        _ = [chunk async for chunk in first.streaming_content]
        return first, second

    first, second = async_to_sync(both)()
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["code"] == "busy"
    assert 0 < int(second.headers["retry-after"]) <= 30
    assert get(url)[0].status_code == 410


async def take(url: str, count: int, **headers: str) -> bytes:
    """Begin a download and break it off after some chunks."""
    response: Any = await AsyncClient().get(url, headers=headers)
    stream = response.streaming_content
    taken = b"".join([await anext(stream) for _ in range(count)])
    await stream.aclose()
    return taken


def test_a_transfer_that_broke_uses_nothing_up_and_can_be_repeated_from_the_start(url: str) -> None:
    assert async_to_sync(take)(url, 1) == CONTENT[:CHUNK]
    link = DownloadLink.objects.get()
    assert (link.used_at, link.holder, link.sent) == (None, None, CHUNK)
    assert get(url)[1] == CONTENT
    assert AuditEvent.objects.filter(action="gdpr.export.downloaded").count() == 1


def test_a_client_that_is_gone_before_the_last_bytes_was_not_served_them(url: str) -> None:
    async_to_sync(take)(url, 5)  # the last of them is the empty one after which the last bytes wait
    assert DownloadLink.objects.get().served_until == len(CONTENT) - LAST
    assert not AuditEvent.objects.filter(action="gdpr.export.downloaded").exists()
    assert get(url)[1] == CONTENT


def test_a_response_that_broke_with_its_last_bytes_is_no_download(url: str) -> None:
    assert async_to_sync(take)(url, 6) == CONTENT
    assert not AuditEvent.objects.filter(action="gdpr.export.downloaded").exists()
    assert get(url)[1] == CONTENT


def test_what_one_link_sends_is_bounded(url: str) -> None:
    for _ in range(7):
        async_to_sync(take)(url, 1)
    assert get(url)[0].status_code == 200
    most = 3 * len(CONTENT)
    assert DownloadLink.objects.get().sent == len(CONTENT) + 7 * CHUNK <= most
    refused, error = get(url, range="bytes=1-")
    assert (refused.status_code, DownloadLink.objects.get().sent <= most) == (410, True)
    assert b"3 times" in error


def test_a_response_that_never_began_or_whose_process_died_does_not_keep_the_link(url: str) -> None:
    link = DownloadLink.objects.get()
    begun = timezone.now() - timedelta(seconds=31)
    holder = link.begin(start=0, end=len(CONTENT), client=Client(), now=begun)
    assert holder
    assert link.note(holder=holder, start=0, end=1000, now=begun)
    assert get(url)[1] == CONTENT  # its hold has lapsed
    assert not link.note(holder=holder, start=1000, end=2000, now=timezone.now())


def test_a_request_that_continues_need_not_wait_for_the_hold_of_a_dead_process(url: str) -> None:
    link = DownloadLink.objects.get()
    holder = link.begin(start=0, end=len(CONTENT), client=Client(), now=timezone.now())
    assert holder
    link.note(holder=holder, start=0, end=CHUNK, now=timezone.now())
    assert get(url)[0].status_code == 409
    response, rest = get(url, range=f"bytes={CHUNK - 7}-")
    assert (response.status_code, rest) == (206, CONTENT[CHUNK - 7 :])
    assert get(url)[0].status_code == 410
    assert AuditEvent.objects.filter(action="gdpr.export.downloaded").count() == 1


def test_the_response_that_another_continues_ends(url: str) -> None:
    async def both() -> None:
        first: Any = await AsyncClient().get(url)
        await anext(first.streaming_content)
        await AsyncClient().get(url, headers={"range": "bytes=1-"})
        with pytest.raises(TakenOver, match="continued by another request"):
            await anext(first.streaming_content)

    async_to_sync(both)()
    assert not AuditEvent.objects.filter(action="gdpr.export.downloaded").exists()


def test_a_used_link_still_serves_the_end_to_who_lost_it_for_ten_minutes(url: str) -> None:
    assert get(url)[1] == CONTENT
    response, rest = get(url, range="bytes=1000-")
    assert (response.status_code, rest) == (206, CONTENT[1000:])
    assert get(url, range="bytes=0-")[0].status_code == 410
    assert AuditEvent.objects.filter(action="gdpr.export.downloaded").count() == 1
    DownloadLink.objects.update(used_at=timezone.now() - timedelta(minutes=10))
    assert get(url, range="bytes=1000-")[0].status_code == 410


@pytest.mark.parametrize("asked", ["bytes=1001-", "bytes=2000-2999", "bytes=-5"])
def test_nothing_is_served_behind_bytes_that_were_not(url: str, asked: str) -> None:
    get(url, range="bytes=0-999")
    refused, error = get(url, range=asked)
    assert (refused.status_code, refused.json()["code"]) == (409, "gap")
    assert b"`Range: bytes=1000-`" in error
    assert get(url, "head", range=asked)[0].status_code == 409
    assert DownloadLink.objects.get().served_until == 1000
    response, rest = get(url, range="bytes=1000-")
    assert (response.status_code, rest) == (206, CONTENT[1000:])
    assert AuditEvent.objects.filter(action="gdpr.export.downloaded").count() == 1


def test_a_copy_without_its_first_byte_is_not_to_be_had(url: str) -> None:
    for _ in range(3):
        assert get(url, range="bytes=1-")[0].status_code == 409
    link = DownloadLink.objects.get()
    assert (link.sent, link.holder) == (0, None)
    assert {access.refusal.endswith("`Range: bytes=0-`.") for access in link.accesses.all()} == {True}
    assert link.begin(start=1, end=len(CONTENT), client=Client(), now=timezone.now()) is None


def test_a_part_that_is_refused_does_not_end_the_one_that_is_served(url: str) -> None:
    async def both() -> bytes:
        first: Any = await AsyncClient().get(url)
        taken = await anext(first.streaming_content)
        part = await AsyncClient().get(url, headers={"range": f"bytes={len(CONTENT) // 2}-"})
        assert part.status_code == 409
        return bytes(taken + b"".join([chunk async for chunk in first.streaming_content]))

    assert async_to_sync(both)() == CONTENT
    assert DownloadLink.objects.get().used_at


def test_all_bytes_in_parts_use_a_link_up(url: str) -> None:
    step = len(CONTENT) // 4 + 1
    for start in range(0, len(CONTENT), step):
        assert get(url, range=f"bytes={max(0, start - 10)}-{start + step - 1}")[0].status_code == 206
    assert DownloadLink.objects.get().used_at
    assert get(url)[0].status_code == 410
    assert AuditEvent.objects.filter(action="gdpr.export.downloaded").count() == 1


def test_whoever_was_served_the_last_byte_used_the_link_though_another_took_over(url: str) -> None:
    link = DownloadLink.objects.get()
    first = link.begin(start=0, end=len(CONTENT), client=Client(address="192.0.2.1"), now=timezone.now())
    assert first
    assert link.note(holder=first, start=0, end=len(CONTENT), now=timezone.now())
    second = link.begin(start=1, end=len(CONTENT), client=Client(), now=timezone.now())
    assert second
    assert link.finish(holder=first, now=timezone.now())
    link.refresh_from_db()
    assert (link.holder, link.untold) == (second, first)
    assert link.let_go(holder=second)
    assert get(url)[0].status_code == 410


@contextmanager
def busy_chain() -> Iterator[None]:
    """Somebody else appends to the company's system chain all the while."""
    head = DownloadLink.objects.get().company.system_workspace.chain_head
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            head.lock()
            held.set()
            over.wait(60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_busy_chain_lets_no_link_be_used_twice_and_its_use_is_told_later_and_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(company, "PATIENCE", "100ms")
    with busy_chain():
        assert get(url)[1] == CONTENT
        link = DownloadLink.objects.get()
        assert link.used_at
        assert get(url)[0].status_code == 410
        assert get(url, range="bytes=1000-")[0].status_code == 206  # another response in between
        assert DownloadLink.objects.tell_downloads(now=timezone.now()) == 0
    assert not AuditEvent.objects.filter(action="gdpr.export.downloaded").exists()
    first = link.accesses.earliest("id")
    assert DownloadLink.objects.get().untold == first.id
    assert housekeeping.run(now=timezone.now())["downloads"] == 1
    assert link.tell_downloaded(now=timezone.now()) is False
    assert housekeeping.run(now=timezone.now())["downloads"] == 0
    (told,) = AuditEvent.objects.filter(action="gdpr.export.downloaded")
    assert (told.payload or {})["linkId"] == str(link.id)


def test_revoking_a_link_ends_what_it_serves(url: str) -> None:
    async def begin_and_revoke() -> None:
        response: Any = await AsyncClient().get(url)
        await anext(response.streaming_content)
        await DownloadLink.objects.aupdate(revoked_at=timezone.now())
        with pytest.raises(TakenOver, match="revoked"):
            await anext(response.streaming_content)

    async_to_sync(begin_and_revoke)()


def test_a_file_that_is_not_at_hand_is_said_and_uses_nothing_up(url: str, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "x.zip").rename(tmp_path / "y.zip")
    response, error = get(url)
    assert response.status_code == 503
    assert b"not at hand" in error
    elsewhere.rename(tmp_path / "x.zip")
    assert get(url)[0].status_code == 200


def test_the_log_never_holds_a_link_that_works(url: str) -> None:
    said = io.StringIO()
    (handler,) = [h for h in logging.getLogger().handlers if isinstance(h.formatter, RedactingFormatter)]
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(said)
    get(url, range="bytes=99999999999-")
    handler.setStream(before)
    assert "/v1/gdpr/downloads/…" in said.getvalue()
    assert url.rsplit("/", 1)[1] not in said.getvalue()


def test_the_token_is_kept_only_as_a_hash(url: str) -> None:
    token = url.rsplit("/", 1)[1]
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(link)::text FROM gdpr_downloadlink AS link")
        assert token not in cursor.fetchone()[0]
    assert DownloadLink.objects.find(token)


@pytest.mark.parametrize(
    ("asked", "expected", "shown"),
    [
        ("bytes=0-9", CONTENT[:10], f"bytes 0-9/{len(CONTENT)}"),
        ("bytes=1000-", CONTENT[1000:], f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=-5", CONTENT[-5:], f"bytes {len(CONTENT) - 5}-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=5-99999999999", CONTENT[5:], f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"),
    ],
)
def test_ranges(url: str, asked: str, expected: bytes, shown: str) -> None:
    async_to_sync(take)(url, 6)  # all of it, which broke with its last bytes
    response, body = get(url, range=asked)
    assert (response.status_code, body, response.headers["content-range"]) == (206, expected, shown)


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes=9-5", "bytes=-0"])
def test_a_range_outside_is_416(url: str, asked: str) -> None:
    response, _ = get(url, range=asked)
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize(
    "asked", ["bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2", f"bytes={'9' * 5000}-", f"bytes=0-{'9' * 5000}"]
)
def test_a_range_that_is_not_understood_is_answered_in_full(url: str, asked: str) -> None:
    response, body = get(url, range=asked)
    assert (response.status_code, body) == (200, CONTENT)


def test_a_broken_transfer_can_be_finished_and_then_the_link_is_used(url: str) -> None:
    half = len(CONTENT) // 2
    assert get(url, range=f"bytes=0-{half - 1}")[0].status_code == 206
    response, rest = get(url, range=f"bytes={half}-", **{"if-range": f'"{hashlib.sha256(CONTENT).hexdigest()}"'})
    assert (response.status_code, rest) == (206, CONTENT[half:])
    assert get(url)[0].status_code == 410


def test_the_last_bytes_alone_do_not_use_a_link_up(url: str) -> None:
    assert get(url, range="bytes=-5")[0].status_code == 409
    assert get(url)[0].status_code == 200


def test_a_changed_archive_is_sent_anew(url: str) -> None:
    response, body = get(url, range="bytes=5-", **{"if-range": '"another"'})
    assert (response.status_code, body) == (200, CONTENT)


def test_head_tells_the_size_and_uses_nothing_up(url: str) -> None:
    response, body = get(url, "head")
    assert (response.status_code, body, response.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    assert get(url)[0].status_code == 200


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, b"expired"),
        ({"revoked_at": timezone.now()}, b"was revoked"),
    ],
)
def test_an_expired_or_revoked_link_is_gone(url: str, change: dict[str, Any], why: bytes) -> None:
    DownloadLink.objects.update(**change)
    response, body = get(url)
    assert response.status_code == 410
    assert why in body


def test_a_link_ends_with_the_key_that_made_it(url: str) -> None:
    key = DownloadLink.objects.get().api_key
    assert key
    key.revoke(now=timezone.now())
    response, error = get(url)
    assert response.status_code == 410
    assert b"key that was revoked" in error


def test_a_link_ends_with_its_company(url: str) -> None:
    DownloadLink.objects.get().company.close(now=timezone.now())
    response, error = get(url)
    assert response.status_code == 410
    assert b"company that was closed" in error


def test_a_link_ends_with_its_archive_s_time_though_nobody_swept_it(url: str) -> None:
    ExportArchive.objects.update(expires_at=timezone.now())
    assert get(url)[0].status_code == 410


def test_a_link_ends_with_its_archive(made: tuple[Tenant, Api, str], url: str) -> None:
    ExportArchive.objects.get().expire(now=timezone.now())
    assert get(url)[0].status_code == 410


def test_an_unknown_token_is_404(committed: None) -> None:
    assert get("/v1/gdpr/downloads/unknown")[0].status_code == 404
