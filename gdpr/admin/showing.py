"""How the admin shows an export: what moves while it runs, when it is due, whom it is about."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timeuntil

from gdpr.models import Erasure, ExportArchive, ExportRequest
from gdpr.models.due import SOON
from jobs.admin import showing
from jobs.models import Job

BRIEF = 40
"""Characters of an identifier in a list."""
NAMED = 2
"""Identifiers of a subject in a list; of the others it says how many there are."""


def moving(asked: ExportRequest, *, now: datetime) -> dict[str, str]:
    """What changes while an export waits or runs, each as it is shown: of its job, and of what it yields."""
    told = showing.moving(asked.job)
    return {**told, "amount": amount(asked), "archive": archive_state(asked, now=now)}


def cell(asked: ExportRequest | Erasure, field: str, told: str) -> SafeString:
    """A field of `moving` that the page refreshes by itself."""
    return format_html('<span data-job="{}" data-field="{}">{}</span>', asked.pk, field, told)


def archive_of(job: Job) -> ExportArchive | None:
    return getattr(job, "archive", None)


def archive_state(asked: Any, *, now: datetime) -> str:
    """Whether it can be had, and whether anybody downloaded it. `asked` is annotated by `brief`."""
    archive = archive_of(asked.job)
    if archive is None:
        return "-"
    if archive.downloadable(now=now):
        state, unused = f"ready until {localize(archive.expires_at.date())}", "not downloaded yet"
    else:
        state, unused = "expired", "NEVER DOWNLOADED"
    return f"{filesizeformat(archive.size)}, {state}, {'downloaded' if asked.downloaded else unused}"


def due(asked: Any, *, now: datetime) -> SafeString:
    """By when the person must be answered; marked where that is soon, or over. `asked` is annotated by `brief`."""
    extended = ", extended" if asked.extended_at else ""
    if asked.owed:
        return still_due(asked.due_at, extended, now=now)
    day = localize(asked.due_at.date())
    if asked.job.status == Job.Status.CANCELLED and archive_of(asked.job) is None:
        return due_mark("cancelled", f"cancelled; was due {day}{extended}")
    return due_mark("answered", f"{_made(archive_of(asked.job), asked, day=day)}{extended}")


def still_due(due_at: datetime, more: str = "", *, now: datetime) -> SafeString:
    """By when somebody must be answered who was not yet."""
    day = localize(due_at.date())
    if due_at < now:
        return due_mark("overdue", f"OVERDUE since {day}{more}")
    if due_at < now + SOON:
        return due_mark("soon", f"in {timeuntil(due_at, now)}: {day}{more}")
    return due_mark("later", f"{day}{more}")


def due_mark(says: str, told: str) -> SafeString:
    return format_html('<span class="gdpr-due" data-due="{}">{}</span>', says, told)


def _made(archive: ExportArchive | None, asked: Any, *, day: str) -> str:
    """That there was an archive; whether the person got it, HyreLog cannot know."""
    if archive is None:  # a later request of the same scope has one
        return f"archive made for a later request; was due {day}"
    made = f"archive made {localize(archive.created_at.date())}"
    return f"{made}, LATE: was due {day}" if archive.created_at > asked.due_at else f"{made}; due {day}"


def person_in_brief(subject: Any) -> str:
    """The first identifiers, shortened."""
    named = _identifiers(subject)
    shown = ", ".join(_with_blanks(text if len(text) <= BRIEF else f"{text[: BRIEF - 1]}…") for text in named[:NAMED])
    more = len(named) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown or "-"


def person(subject: Any, *, otherwise: str = "the whole company") -> SafeString:
    """Every identifier, a line each; `otherwise` where there is no subject."""
    if subject is None:
        return format_html("{}", otherwise)
    kinds = [(kind, _with_blanks(value)) for kind in ("actorId", "email") for value in subject.get(kind, [])]
    return format_html_join("", '<div class="gdpr-identifier">{}: <strong>{}</strong></div>', kinds)


def table(counts: Iterable[tuple[str, int]]) -> SafeString:
    """How many rows there are of each table, or of whatever is named."""
    rows = format_html_join(
        "", "<tr><td>{}</td><td>{}</td></tr>", [(name, f"{count:,}") for name, count in sorted(counts)]
    )
    return format_html('<table class="gdpr-counts"><tbody>{}</tbody></table>', rows)


def _with_blanks(identifier: str) -> str:
    """In quotes where blanks could be overlooked: an identifier is the same only with them."""
    return identifier if identifier == " ".join(identifier.split()) else f'"{identifier}"'


def _identifiers(subject: Any) -> list[str]:
    return [value for kind in ("email", "actorId") for value in (subject or {}).get(kind, [])]


def amount(asked: ExportRequest) -> str:
    """How much was read, of how much; annotated by `brief`."""
    annotated = [getattr(asked, name, None) for name in ("rows", "rows_expected", "bytes", "bytes_expected")]
    rows, of_rows, size, of_size = [value if isinstance(value, int) else None for value in annotated]
    parts = []
    if rows is not None:
        parts.append(f"{rows:,} of about {of_rows:,} rows" if of_rows else f"{rows:,} rows")
    if size is not None and asked.job.status != Job.Status.COMPLETED:  # then it is the archive's size, shown beside it
        told = filesizeformat(size)
        parts.append(f"{told} of about {filesizeformat(of_size)}" if of_size else told)
    return ", ".join(parts)
