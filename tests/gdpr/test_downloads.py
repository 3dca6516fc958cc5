import hashlib
import io
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from audit.models import AuditEvent
from gdpr import storage
from gdpr.models import DownloadLink, ExportArchive
from hyrelog.ops.logs import RedactingFormatter
from jobs.enqueueing import enqueue
from tests.api import Api
from tests.conftest import Tenant, open_tenant

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def made(committed: None, client: Client, tmp_path: Path, settings: Any) -> tuple[Tenant, Api, str]:
    """A tenant, its API, and the id of an export whose archive is CONTENT. Streams read from threads of their own."""
    settings.EXPORT_STORAGE = str(tmp_path)
    tenant = open_tenant("Acme")
    job, _ = enqueue("gdpr.export", {"scope": "company"}, company=tenant.company, now=timezone.now())
    with storage.draft("x.zip") as file:
        file.write(CONTENT)
        storage.publish("x.zip", file)
    ExportArchive.objects.create(
        company=tenant.company,
        job=job,
        scope="company",
        file="x.zip",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        counts={},
        created_at=timezone.now(),
        expires_at=timezone.now() + timedelta(days=7),
    )
    return tenant, Api(client, tenant.company_key), str(job.id)


@pytest.fixture
def url(made: tuple[Tenant, Api, str]) -> str:
    _, api, job_id = made
    answer = api.post(f"/v1/key/company/gdpr/exports/{job_id}/links")
    assert answer.status_code == 201
    return str(answer.json()["url"])


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
    async def both() -> list[int]:
        first: Any = await AsyncClient().get(url)
        second = await AsyncClient().get(url)
        _ = [chunk async for chunk in first.streaming_content]
        return [first.status_code, second.status_code]

    assert async_to_sync(both)() == [200, 410]


def test_a_transfer_that_broke_gives_back_what_it_did_not_send(url: str) -> None:
    async def break_off() -> None:
        response: Any = await AsyncClient().get(url)
        stream = response.streaming_content
        await anext(stream)
        await stream.aclose()

    for _ in range(3):
        async_to_sync(break_off)()
    assert DownloadLink.objects.get().allotted == 0
    assert get(url)[1] == CONTENT


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
    response, body = get(url, range=asked)
    assert (response.status_code, body, response.headers["content-range"]) == (206, expected, shown)


@pytest.mark.parametrize("asked", ["bytes=99999999999-", "bytes=9-5", "bytes=-0"])
def test_a_range_outside_is_416(url: str, asked: str) -> None:
    response, _ = get(url, range=asked)
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2"])
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
    get(url, range="bytes=-5")
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


def test_a_link_ends_with_its_archive(made: tuple[Tenant, Api, str], url: str) -> None:
    ExportArchive.objects.get().expire()
    assert get(url)[0].status_code == 410


def test_an_unknown_token_is_404(committed: None) -> None:
    assert get("/v1/gdpr/downloads/unknown")[0].status_code == 404
