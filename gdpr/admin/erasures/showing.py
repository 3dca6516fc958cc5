"""How the admin shows an erasure: how far it is, how many have approved it, when it is due, what it would erase."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gdpr.admin.showing import cell, due_mark, still_due
from gdpr.erasures.titles import table_title
from gdpr.models import Erasure
from gdpr.models.erasure import APPROVALS, Status
from jobs.admin.showing import BRIEF
from jobs.models import Job
from jobs.models.job import ACTIVE

FORGOTTEN = "forgotten"
"""Stands for the person of an erasure that is completed."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker does for an erasure, or did last: to erase, or before that to count what would be erased."""

    status: str
    progress: float
    step: str
    error: str

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE


@dataclass(frozen=True, slots=True)
class Preview:
    """Rows by table that would be erased, and by table and column what names the person and will remain."""

    rows: dict[str, int] = field(default_factory=dict)
    remaining: dict[str, int] = field(default_factory=dict)


def work_of(asked: Any) -> Work | None:
    """`asked` is annotated by `brief`."""
    if job := asked.job:
        return Work(job.status, job.progress, job.step, job.error)
    return Work(**asked.counting) if asked.counting else None


def preview_of(asked: Erasure) -> Preview | None:
    """What was counted; None if nothing was yet."""
    if asked.preview is None:
        return None
    return Preview(asked.preview.get("rows", {}), asked.preview.get("remaining", {}))


def is_interrupted(asked: Any) -> bool:
    """Whether the erasing has begun, and waits for its next attempt. `asked` is annotated by `brief`."""
    begun = asked.status in (Status.PROCESSING, Status.FAILED)
    return bool(begun and asked.job and asked.job.status == Job.Status.PENDING)


def moving(asked: Any) -> dict[str, str]:
    """What changes while an erasure waits or runs, each as it is shown.

    `asked` is annotated by `brief`, and marked by gdpr.admin.erasures.holding.
    """
    work = work_of(asked)
    status, attempt = work.status if work else "", asked.job.attempt if asked.job else ""
    return {
        "state": state(asked, work),
        "fraction": f"{work.progress:.2f}" if work else "0",
        "progress": f"{work.progress:.0%}" if work and work.is_active else "",
        "step": table_title(work.step) if work and work.is_active else "",
        "error": work.error[:BRIEF] if work else "",
        "approvals": f"{asked.approved} of {APPROVALS}",
        "active": "yes" if work and work.is_active else "",
        "version": f"{asked.status} {asked.approved} {asked.previewed_at} {status} {attempt} {asked.hold}",
    }


def state(asked: Any, work: Work | None) -> str:
    """Its status, and what it waits for."""
    said = f"{asked.get_status_display()}, held" if asked.hold else str(asked.get_status_display())
    if asked.status == Status.REQUESTED:
        if work and work.is_active:
            return f"{said}, being counted"
        if asked.preview is None:
            return f"{said}, not counted: that failed"
        return said if asked.hold else f"{said}, waiting for a decision"
    if is_interrupted(asked) and not asked.hold:
        return f"{said}, due to go on at {localize(asked.job.run_at)} UTC"
    return said


def state_cell(asked: Any) -> SafeString:
    """It takes its colour from the status."""
    told = moving(asked)["state"]
    span = '<span data-job="{}" data-field="state" data-says="{}">{}</span>'
    return format_html(span, asked.pk, told.split(",")[0], told)


def progress(asked: Any) -> SafeString:
    """While a worker is at it; empty once that is over."""
    told = moving(asked)
    if not told["active"]:
        return format_html("")
    return format_html(
        '<progress max="1" value="{}" data-job="{}" data-field="fraction" aria-label="progress"></progress> {} {}',
        told["fraction"],
        asked.pk,
        cell(asked, "progress", told["progress"]),
        cell(asked, "step", told["step"]),
    )


def due(asked: Erasure, *, now: datetime) -> SafeString:
    """By when the person must be answered; marked where that is soon, or over."""
    day = localize(asked.due_at.date())
    match asked.status:
        case Status.COMPLETED:
            late = asked.completed_at is not None and asked.completed_at > asked.due_at
            done = f"erased {localize(asked.completed_at and asked.completed_at.date())}"
            return due_mark("answered", f"{done}, LATE: was due {day}" if late else f"{done}; due {day}")
        case Status.REJECTED:
            return due_mark("answered", f"rejected; was due {day}")
    return still_due(asked.due_at, now=now)
