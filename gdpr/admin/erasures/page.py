"""What the page of an erasure shows beside the request: what it would erase, who approved it, what came of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from gdpr.admin.erasures.showing import is_interrupted, moving, preview_of, progress, work_of
from gdpr.admin.showing import table
from gdpr.erasures.titles import column_title, table_title
from gdpr.models import Erasure, ExportArchive, ExportRequest
from gdpr.models.erasure import APPROVALS, Status
from jobs.admin.history import LINES, latest_attempts, latest_lines

OLD = timedelta(hours=1)
"""After which a count is to be made anew before somebody approves."""


def around(asked: Any) -> dict[str, Any]:
    """`asked` is annotated by `brief`, and marked by gdpr.admin.erasures.holding."""
    told = moving(asked)
    return {
        **foreseen(asked),
        "approvals": asked.approvals.order_by("at"),
        "needed": APPROVALS,
        "progress": progress(asked),
        "hold": asked.hold,
        "erased": _named(table_title, asked.counts),
        "begun": asked.started_at is not None,
        "certified": asked.status == Status.COMPLETED,
        "rejected": asked.status == Status.REJECTED,
        "failed": asked.status == Status.FAILED,
        "interrupted": is_interrupted(asked),
        "attempts": latest_attempts(asked.job) if asked.job else [],
        "lines": latest_lines(asked.job) if asked.job else [],
        "lines_shown": LINES,
        "version": told["version"],
        "active": told["active"],
    }


def foreseen(asked: Any) -> dict[str, Any]:
    """What whoever decides has to know: what would be erased, what will remain, which archives are deleted.

    And how far that can be trusted: how long ago it was counted, and whether it is being counted anew.
    """
    preview, work, now = preview_of(asked), work_of(asked), timezone.now()
    undecided = asked.status == Status.REQUESTED
    return {
        "preview": preview,
        "undecided": undecided,
        "counting": undecided and work is not None and work.is_active,
        "counted": _named(table_title, preview.rows) if preview else "",
        "remaining": _named(column_title, preview.remaining) if preview else "",
        "previewed_at": asked.previewed_at,
        "age": _age(asked.previewed_at, now=now) if asked.previewed_at else "",
        "old": undecided and asked.previewed_at is not None and asked.previewed_at < now - OLD,
        **_archives(asked),
    }


def _age(counted_at: datetime, *, now: datetime) -> str:
    return timesince(counted_at, now) if now - counted_at >= timedelta(minutes=1) else "less than a minute"


def _named(name: Callable[[str], str], counts: dict[str, int]) -> SafeString | str:
    return table((name(place), count) for place, count in counts.items()) if counts else ""


def _archives(asked: Erasure) -> dict[str, Any]:
    """Archives of the company that are kept now; whether anybody has them, and where they are listed."""
    kept = ExportArchive.objects.ready().filter(company=asked.company_id).count()
    waiting = ExportRequest.objects.of(asked.company).waiting_for_download(now=timezone.now())
    return {
        "archives": kept,
        "archives_waiting": waiting.count(),
        "archives_url": f"{reverse('admin:gdpr_exportrequest_changelist')}?download=waiting&company={asked.company_id}",
    }
