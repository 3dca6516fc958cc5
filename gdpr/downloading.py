"""Downloading: an archive's bytes for whoever has a link that still works, whole or in ranges."""

import re
from collections.abc import AsyncIterator
from datetime import datetime

from asgiref.sync import sync_to_async
from django.db import close_old_connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from audit import recording
from audit.api.errors import ApiError, not_found
from gdpr import storage
from gdpr.models import DownloadLink

CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def download(request: HttpRequest, token: str, *, now: datetime) -> HttpResponseBase:
    """Serve an archive. Raises ApiError: 404 for an unknown token, 410 for one that no longer works, 416."""
    link = DownloadLink.objects.find(token)
    if link is None:
        raise not_found("download")
    if why := link.refusal(now=now):
        raise ApiError(410, "gone", f"This link {why}. Ask for a new one.")
    size, etag = link.archive.size, f'"{link.archive.sha256}"'
    start, end = _range(request, size=size, etag=etag)
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
    if not link.allot(end - start):
        raise ApiError(410, "gone", "This link was used: it serves one complete download. Ask for a new one.")
    return StreamingHttpResponse(_bytes(link, start, end), status=status, headers=headers)


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


async def _bytes(link: DownloadLink, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes, read by a thread; what was sent is noted however the transfer ends."""
    sent = start
    file = await sync_to_async(storage.open_file)(link.archive.file)
    try:
        await sync_to_async(file.seek)(start)
        while sent < end:
            chunk = await sync_to_async(file.read)(min(CHUNK, end - sent))
            if not chunk:
                raise OSError(f"{link.archive.file} ended {end - sent} bytes early")
            yield chunk
            sent += len(chunk)
    finally:
        file.close()
        await sync_to_async(_record)(link, start, sent, end - sent)


def _record(link: DownloadLink, start: int, end: int, unsent: int) -> None:
    now = timezone.now()
    with transaction.atomic():
        if link.record_served(start=start, end=end, unsent=unsent, now=now):
            payload: dict[str, object] = {"jobId": str(link.archive.job_id), "linkId": str(link.id)}
            recording.record_system(company=link.company, action="gdpr.export.downloaded", payload=payload, now=now)
    close_old_connections()  # after a broken transfer this is no request's thread: nobody else would
