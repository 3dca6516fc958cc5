"""Telling how an erasure ended: events of the company's `system` workspace, and an e-mail where it failed.

Neither names the person: webhooks and mailboxes are read by others than those who asked.
"""

from datetime import UTC, datetime

from audit.models import AuditEvent
from gdpr.models import Erasure
from gdpr.telling import MOST_REASON, tell
from jobs.mailing import mail
from jobs.models import Job

_FAILED = (
    "The erasure that was requested on {requested} by {by} has failed, and is not complete:\n\n{reason}\n\n"
    "What it had erased by then stays erased. The operators of HyreLog can have it go on. It is due on {due} (GDPR,"
    " Art. 12(3)).\n\nCompany: {company}\nErasure: {erasure}\n"
)


def told_completed(erasure: Erasure, *, now: datetime) -> None:
    """Tell of an erasure that is done, in the transaction that completes it. Raises audit.models.company.ChainBusy."""
    events = erasure.counts.get(AuditEvent._meta.db_table, 0)  # noqa: SLF001  Django's public way to a table's name
    counts = erasure.counts
    tell(erasure.company, "gdpr.erasure.completed", now=now, erasureId=erasure.pk, counts=counts, events=events)


def told_failed(job: Job, now: datetime) -> None:
    """Tell of a job that failed for good, in the transaction in which it did. Raises audit.models.company.ChainBusy."""
    erasure: Erasure | None = getattr(job, "erasure", None)
    if erasure is None:  # whatever made this job, nobody approved an erasure by it
        return
    erasure.company.system_workspace.chain_head.lock()  # before the erasure's row, as everybody does
    if not erasure.fail():  # only the settling was lost, or came too late: it is completed, and that was told
        return
    reason = job.error[:MOST_REASON]
    tell(erasure.company, "gdpr.erasure.failed", now=now, erasureId=erasure.pk, reason=reason)
    text = _FAILED.format(
        requested=_in_words(erasure.created_at),
        by=erasure.requested_by,
        reason=reason,
        due=_in_words(erasure.due_at),
        company=erasure.company.name,
        erasure=erasure.pk,
    )
    mail(erasure.company, subject="HyreLog: An erasure has failed", text=text, now=now)


def _in_words(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d at %H:%M} UTC"
