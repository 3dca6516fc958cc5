"""What the page of an erasure shows beside the request: what it would erase, who approved it, what came of it."""

from typing import Any

from django.urls import reverse
from django.utils import timezone

from gdpr.admin.erasures.showing import moving, preview_of
from gdpr.admin.showing import table
from gdpr.erasures import holds
from gdpr.models import Erasure, ExportArchive, ExportRequest
from gdpr.models.erasure import APPROVALS, UNANSWERED, Status
from jobs.admin.history import LINES, latest_lines


def around(asked: Any) -> dict[str, Any]:
    """`asked` is annotated by `brief`."""
    told = moving(asked)
    return {
        **foreseen(asked),
        "approvals": asked.approvals.order_by("at"),
        "needed": APPROVALS,
        "hold": holds.blocking(asked.company, asked.person()) if asked.status in UNANSWERED else None,
        "erased": table(asked.counts) if asked.counts else "",
        "certified": asked.status == Status.COMPLETED,
        "failed": asked.status == Status.FAILED,
        "lines": latest_lines(asked.job) if asked.job else [],
        "lines_shown": LINES,
        "version": told["version"],
        "active": told["active"],
    }


def foreseen(asked: Erasure) -> dict[str, Any]:
    """What whoever decides has to know: what would be erased, what will remain, which archives are deleted."""
    preview = preview_of(asked)
    return {
        "preview": preview,
        "counted": table(preview.rows) if preview and preview.rows else "",
        "remaining": table(preview.remaining) if preview and preview.remaining else "",
        "previewed_at": asked.previewed_at,
        **_archives(asked),
    }


def _archives(asked: Erasure) -> dict[str, Any]:
    """Archives of the company that are kept now; whether anybody has them, and where they are listed."""
    kept = ExportArchive.objects.ready().filter(company=asked.company_id).count()
    waiting = ExportRequest.objects.of(asked.company).waiting_for_download(now=timezone.now())
    return {
        "archives": kept,
        "archives_waiting": waiting.count(),
        "archives_url": f"{reverse('admin:gdpr_exportrequest_changelist')}?download=waiting&company={asked.company_id}",
    }
