"""Telling of exports: events of the company's `system` workspace and, where somebody waits for it, an e-mail.

Neither holds a link or a subject's identifiers: webhooks and mailboxes are read by others than those who asked.
"""

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from audit import recording
from audit.chain import timestamp
from audit.models import Company
from jobs.mailing import mail

if TYPE_CHECKING:
    from gdpr.models import ExportArchive, ExportRequest
    from jobs.models import Job

MOST_REASON = 1_000
"""Characters of an error that are told; all of it is in the job."""

_READY = (
    "The export that was requested on {requested} is ready: {size:,} bytes.\n\n"
    "It can be downloaded until {expires}. For that, have the API make a link:"
    " POST /v1/key/company/gdpr/exports/{job}/links\n\n"
    "SHA-256: {sha256}"
)
_FAILED = (
    "The export that was requested on {requested} has failed, and there is no archive of it:\n\n{reason}\n\n"
    "The operators of HyreLog can repeat it, or you request another one; one that failed does not count against the"
    " day's limit. It is due on {due} (GDPR, Art. 12(3))."
)
_SIGNATURE = "\n\nCompany: {company}\nScope: {scope}\nExport: {job}\n"


def tell(company: Company, action: str, *, now: datetime, **facts: object) -> None:
    """Record what happened, in the caller's transaction. Raises audit.models.company.ChainBusy."""
    payload = {name: _plain(fact) for name, fact in facts.items()}
    recording.record_system(company=company, action=action, payload=payload, now=now)


def told_ready(archive: "ExportArchive", *, now: datetime) -> None:
    """Tell of an archive, in the transaction that records it. Raises audit.models.company.ChainBusy."""
    tell(
        archive.company,
        "gdpr.export.ready",
        now=now,
        jobId=archive.job_id,
        scope=archive.scope,
        bytes=archive.size,
        sha256=archive.sha256,
        expiresAt=archive.expires_at,
    )
    asked = archive.job.export_request
    expires = _in_words(archive.expires_at)
    _write(asked, "Your export is ready", _READY, now=now, size=archive.size, expires=expires, sha256=archive.sha256)


def told_failed(job: "Job", now: datetime) -> None:
    """Tell of a job that failed for good, in the transaction in which it did. Raises audit.models.company.ChainBusy."""
    asked: ExportRequest | None = getattr(job, "export_request", None)
    if asked is None:  # whatever made this job, nobody requested an export by it
        return
    if asked.is_answered():  # only the settling was lost, or came too late: READY was told, and holds
        return
    reason = job.error[:MOST_REASON]
    tell(asked.company, "gdpr.export.failed", now=now, jobId=job.pk, scope=asked.scope, reason=reason)
    _write(asked, "Your export has failed", _FAILED, now=now, reason=reason, due=_in_words(asked.due_at))


def _write(asked: "ExportRequest", subject: str, text: str, *, now: datetime, **facts: object) -> None:
    words = {"company": asked.company.name, "scope": asked.scope, "job": asked.job_id, **facts}
    text = (text + _SIGNATURE).format(requested=_in_words(asked.created_at), **words)
    mail(asked.company, subject=f"HyreLog: {subject}", text=text, now=now)


def _plain(fact: object) -> object:
    match fact:
        case datetime():
            return timestamp(fact)
        case uuid.UUID():
            return str(fact)
    return fact


def _in_words(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d at %H:%M} UTC"
