"""What the page of an export shows beside the request itself: its archive, links, their use, and the log."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils.html import format_html

from gdpr.admin import showing
from gdpr.models import DownloadAccess, DownloadLink, ExportArchive, ExportRequest
from jobs.admin.history import LINES, latest_lines

LINKS = 50
"""The latest, on the page of a request."""
ACCESSES = 200


def around(asked: ExportRequest, *, now: datetime) -> dict[str, Any]:
    archive = ExportArchive.objects.filter(job=asked.pk).first()
    told = showing.moving(asked, now=now)
    return {
        "archive": archive,
        "facts": _facts(asked, archive, now=now) if archive else [],
        "links": _links(archive, now=now) if archive else [],
        "links_shown": LINKS,
        "accesses": _accesses(archive) if archive else [],
        "accesses_shown": ACCESSES,
        "lines": latest_lines(asked.job),
        "lines_shown": LINES,
        "version": told["version"],
        "active": told["active"],
    }


def _facts(asked: Any, archive: ExportArchive, *, now: datetime) -> list[tuple[str, Any]]:
    """What is known of an archive, as long as it is kept and after. `asked` is annotated by `brief`."""
    signed = archive.checkpoint or {}
    body = signed.get("body", {})
    return [
        ("State", showing.archive_state(asked, now=now)),
        ("Size", f"{archive.size:,} bytes"),
        ("SHA-256", format_html("<code>{}</code>", archive.sha256)),
        ("Made", archive.created_at),
        _kept(archive, now=now),
        ("Downloaded", "yes, completely" if asked.downloaded else "no"),
        ("Checkpoint issued", body.get("issuedAt", "-")),
        ("Checkpoint's key", format_html("<code>{}</code>", signed.get("keyId", "-"))),
        ("Chains in the checkpoint", len(body.get("chains", [])) if body else "-"),
        ("Rows by table", showing.table(archive.counts.items())),
    ]


def _kept(archive: ExportArchive, *, now: datetime) -> tuple[str, Any]:
    if archive.status == ExportArchive.Status.EXPIRED:
        return "File", "deleted; the events of the company's system workspace say when, and why"
    if archive.downloadable(now=now):
        return "Kept until", archive.expires_at
    return "File", "expired; housekeeping deletes it soon"


def _links(archive: ExportArchive, *, now: datetime) -> list[dict[str, Any]]:
    """Newest first, each with whether it works still, or why not."""
    latest: QuerySet[DownloadLink] = archive.links.select_related("archive", "company", "api_key").order_by("-pk")
    return [{"row": link, "ended": link.refusal(start=0, end=archive.size, now=now)} for link in latest[:LINKS]]


def _accesses(archive: ExportArchive) -> QuerySet[DownloadAccess]:
    """Newest first."""
    return DownloadAccess.objects.filter(link__archive=archive).select_related("link").order_by("-pk")[:ACCESSES]
