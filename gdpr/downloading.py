"""Downloading: an archive's bytes for whoever has a link that still works, whole or in ranges.

What a link allows is told where it is declared (`DownloadLink`).
"""

import asyncio
import logging
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import IO

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from audit.api.errors import ApiError, not_found
from gdpr import storage
from gdpr.clients import Client
from gdpr.models import DownloadAccess, DownloadLink

logger = logging.getLogger(__name__)

CHUNK = 256 * 1024
LAST = 32 * 1024
"""The last bytes wait: they fit beside what an ASGI server still holds back (uvicorn: 64 KiB) and leave at once."""
LOOK_FOR = 0.25
"""Seconds that the last bytes wait, for a disconnect to show: a client that is gone by then was not served them."""
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")  # more digits than any size has are not understood


class TakenOver(Exception):
    """A response's link was revoked, or another response continues with it: this one ends."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One response: the bytes from `start` up to `end`, sent while `holder` holds the link."""

    link: DownloadLink
    holder: uuid.UUID
    start: int
    end: int

    @property
    def serves_the_end(self) -> bool:
        return self.end == self.link.archive.size


def download(request: HttpRequest, token: str, *, now: datetime) -> HttpResponseBase:
    """Serve an archive; each response to a link that there is goes on record, and so do refusals, but for HEAD.

    Raises ApiError: 404 for an unknown token, 409 while another download with it runs and for a range that would leave
    a gap, 410 for one that no longer works, 416, 503 where the file is not at hand.
    """
    link = DownloadLink.objects.find(token)
    if link is None:
        raise not_found("download")
    client = Client.of(request)
    try:
        return _answer(request, link, client, now=now)
    except ApiError as refusal:
        if request.method != "HEAD":
            DownloadAccess.objects.refuse(link=link, client=client, why=refusal.error, now=now)
        raise


def _answer(request: HttpRequest, link: DownloadLink, client: Client, *, now: datetime) -> HttpResponseBase:
    size, etag = link.archive.size, f'"{link.archive.sha256}"'
    start, end = _range(request, size=size, etag=etag)
    _refuse(link, start, end, now=now)
    _refuse_gap(link, start)
    if not _at_hand(link.archive.file):
        raise ApiError(503, "unavailable", "The archive's file is not at hand on this server. Tell its operator.")
    partial = (start, end) != (0, size)
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(end - start),
        "Content-Disposition": f'attachment; filename="hyrelog-export-{link.archive.job_id}.zip"',
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "no-referrer",
    }
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    return StreamingHttpResponse(_bytes(_begin(link, client, start, end, now=now)), status=status, headers=headers)


def _at_hand(name: str) -> bool:
    """Raises ApiError (503); why the storage does not answer is for the operator alone."""
    try:
        return storage.holds(name)
    except storage.StorageUnavailable as error:
        logger.error("The archive %s cannot be served: %s", name, error)  # noqa: TRY400  it says it all
        text = "The storage of archives does not answer. Try again in a minute, or tell the operator."
        raise ApiError(503, "unavailable", text, headers={"Retry-After": "60"}) from error


def _range(request: HttpRequest, *, size: int, etag: str) -> tuple[int, int]:
    """From which byte to which, the last one excluded: one range at the most (RFC 9110, section 14)."""
    asked = request.headers.get("range")
    if asked is None or request.headers.get("if-range", etag) != etag:
        return 0, size
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match.groups() == ("", ""):
        return 0, size  # what is not understood may be answered in full
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= end:
        unsatisfied = {"Content-Range": f"bytes */{size}"}
        raise ApiError(416, "range", f"The archive has {size} bytes; {asked!r} is outside.", headers=unsatisfied)
    return start, end


def _refuse(link: DownloadLink, start: int, end: int, *, now: datetime) -> None:
    if why := link.refusal(start=start, end=end, now=now):
        raise ApiError(410, "gone", f"This link {why}. Ask for a new one.")


def _refuse_gap(link: DownloadLink, start: int) -> None:
    """Raises ApiError: 409, as 416 has some clients take what they have for the whole file."""
    if start > link.served_until:
        raise ApiError(
            409,
            "gap",
            "A link serves its archive in order: not the end first, nor several parts at once. It has not come to byte "
            f"{start} yet; ask for `Range: bytes={link.served_until}-`.",
        )


def _begin(link: DownloadLink, client: Client, start: int, end: int, *, now: datetime) -> Transfer:
    if holder := link.begin(start=start, end=end, client=client, now=now):
        return Transfer(link, holder, start, end)
    link.refresh_from_db()
    _refuse(link, start, end, now=now)
    left = ceil((link.held_until - now).total_seconds()) if link.held_until else 1
    raise ApiError(
        409,
        "busy",
        "A download with this link is under way. Wait for its end, or continue it: ask for the bytes that you lack, "
        "as in `Range: bytes=1000-`.",
        headers={"Retry-After": str(max(1, left))},
    )


async def _bytes(transfer: Transfer) -> AsyncIterator[bytes]:
    """The bytes, read and noted by a thread; the link is let go however the transfer ends."""
    at, last = transfer.start, max(transfer.start, transfer.end - LAST)
    file: IO[bytes] | None = None
    try:
        file = await sync_to_async(storage.open_file)(transfer.link.archive.file)
        while at < transfer.end:
            if at == last and transfer.serves_the_end:
                yield b""  # the server asks for more once nearly all before it has left
                await asyncio.sleep(LOOK_FOR)  # Django cancels us here if the client is gone
            until = min(at + CHUNK, transfer.end if at >= last else last)
            yield await sync_to_async(_read)(file, transfer, at, until)
            at = until
    finally:
        if file is not None:
            file.close()
        # A client closes as soon as it has the last byte: the disconnect must not cancel what notes that.
        await asyncio.shield(sync_to_async(_end)(transfer, complete=at == transfer.end))


@contextmanager
def _connection_given_back() -> Iterator[None]:
    """A slow client must not keep a connection to the database from everybody else for as long as it takes."""
    try:
        yield
    finally:
        close_old_connections()


@_connection_given_back()
def _read(file: IO[bytes], transfer: Transfer, start: int, end: int) -> bytes:
    """Note some bytes, as about to leave, and read them."""
    if not transfer.link.note(holder=transfer.holder, start=start, end=end, now=timezone.now()):
        raise TakenOver(f"link {transfer.link.id}: revoked, or continued by another request, at byte {start}")
    file.seek(start)
    chunk = file.read(end - start)
    if len(chunk) < end - start:
        raise OSError(f"{transfer.link.archive.file} ended {end - start - len(chunk)} bytes before byte {end}")
    return chunk


@_connection_given_back()
def _end(transfer: Transfer, *, complete: bool) -> None:
    link, now = transfer.link, timezone.now()
    if not (complete and transfer.serves_the_end):
        link.let_go(holder=transfer.holder)
    elif link.finish(holder=transfer.holder, now=now):
        link.tell_downloaded(now=now)
