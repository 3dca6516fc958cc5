"""How the admin shows a job: what moves while it runs, and values that may be large or somebody else's HTML."""

import json
from typing import Any

from django.utils.formats import localize
from django.utils.html import format_html
from django.utils.safestring import SafeString

from jobs.models import Job
from jobs.models.job import ACTIVE, Status

SHOWN = 20_000
"""Characters of a payload, a result, an error or a traceback; the rest is cut off."""
BRIEF = 200
"""Characters of an error in a list."""


def moving(job: Job) -> dict[str, str]:
    """What changes while a job waits or runs, each as it is shown."""
    error: str = job.brief_error if hasattr(job, "brief_error") else job.error[:BRIEF]
    asked = job.status == Status.PROCESSING and job.cancel_requested_at
    return {
        "state": job.get_status_display() + (", asked to stop" if asked else ""),
        "fraction": f"{job.progress:.2f}",
        "progress": f"{job.progress:.0%}",
        "step": job.step,
        "attempts": f"{job.attempt}/{job.max_attempts}",
        "lost": str(job.lost),
        "error": error,
        "run_at": localize(job.run_at),
        "active": "yes" if job.status in ACTIVE else "",
        "version": f"{job.status} {job.attempt} {job.lost} {asked}",
    }


def cell(job: Job, field: str) -> SafeString:
    """A field of `moving` that the page refreshes by itself; by what it says it may have a colour."""
    told = moving(job)[field]
    says = told.split(",")[0] if field == "state" else ""
    return format_html('<span data-job="{}" data-field="{}" data-says="{}">{}</span>', job.pk, field, says, told)


def bar(job: Job) -> SafeString:
    told = moving(job)
    return format_html(
        '<progress max="1" value="{fraction}" data-job="{id}" data-field="fraction"></progress> {percent} {step}',
        id=job.pk,
        fraction=told["fraction"],
        percent=cell(job, "progress"),
        step=cell(job, "step"),
    )


def text(value: str) -> SafeString:
    """A text as it was written, line breaks too."""
    if not value:
        return format_html("-")
    left = len(value) - SHOWN
    more = f"\n… and {left:,} characters more" if left > 0 else ""
    return format_html('<pre class="jobs-text">{}{}</pre>', value[:SHOWN], more)


def following(follow_up: dict[str, Any] | None) -> dict[str, Any] | None:
    """What is to follow, and what after that, without the tokens of secrets."""
    if follow_up is None:
        return None
    return {"type": follow_up["type"], "payload": follow_up["payload"], "then": following(follow_up["then"])}


def as_json(value: Any) -> SafeString:
    return text("" if value is None else json.dumps(value, indent=2, ensure_ascii=False))
