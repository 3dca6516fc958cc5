"""The tables of this app, for exports, and who receives e-mails about a company."""

from collections.abc import Iterable

from django.conf import settings

from audit.models import Company
from audit.personal_data import Recipient, cover, disclose, exclude
from jobs import models

PROGRAM_TEXT = "HyreLog's own program text, which is about no person. What went wrong is in the column error."


def declare() -> None:
    """Tell exports of the tables and of the recipients."""
    _declare_jobs()
    _declare_history()
    exclude(models.Pause, reason="Which queues of HyreLog its operators have stopped. It belongs to no company.")
    exclude(models.Throttle, reason="Counts by which HyreLog shares its time among companies. They tell of no person.")
    exclude(models.WorkerProcess, reason="HyreLog's own running programs. They belong to no company.")
    exclude(models.Tick, reason="HyreLog's own schedule. It belongs to no company.")
    disclose(recipients)


def recipients(company: Company) -> Iterable[Recipient]:
    """The mailbox that a company named for notices."""
    if company.contact_email:
        yield Recipient(
            kind="e-mail",
            name=f"the contact of {company.name}",
            destination=company.contact_email,
            receives="notices of what HyreLog did: a webhook that fails, an export that is ready. They quote no event",
            since=company.created_at,
            until=company.closed_at,
        )


def _declare_jobs() -> None:
    cover(
        models.Job,
        meaning="A job: work that HyreLog does for the company in the background, such as an export or an e-mail.",
        kept=f"{settings.JOB_RETENTION_DAYS} days after it ended (JOB_RETENTION_DAYS),"
        f" {settings.JOB_RETENTION_FAILED_DAYS} days if it failed (JOB_RETENTION_FAILED_DAYS), where its type does not"
        " say otherwise; exports without end",
        columns={
            "id": "The job's identifier.",
            "company_id": "The company that it is done for.",
            "type": "Which work it is, such as gdpr.export.",
            "queue": "The queue that it waits in.",
            "payload": "What the work is about; secrets are hidden.",
            "key": "A name under which the same work is not begun twice; empty for none.",
            "priority": "Its rank among those that wait; the highest comes first.",
            "status": "How it stands: PENDING, PROCESSING, COMPLETED, FAILED or CANCELLED.",
            "run_at": "When it is to be done, at the earliest.",
            "attempt": "How many times it was tried.",
            "max_attempts": "How many times it is tried at the most.",
            "lost": "How many attempts ended with the program that made them.",
            "progress": "How far it has come, from 0 to 1.",
            "step": "What it does just now.",
            "error": "Why it failed; empty if it did not.",
            "result": "What came of it.",
            "claimed_by": "The process of HyreLog that works on it just now; empty otherwise.",
            "cancel_requested_at": "When somebody asked to stop it; empty if nobody did.",
            "created_at": "When it was asked for.",
            "started_at": "When it was begun.",
            "completed_at": "When it ended.",
        },
        redact={
            "traceback": PROGRAM_TEXT,
            "claim_token": "A random number by which processes of HyreLog keep out of each other's way.",
            "secrets": "Passwords in payloads, encrypted.",
            "follow_up": "May hold such passwords. The job that follows has a row of its own.",
        },
    )


def _declare_history() -> None:
    kept = "as long as its job"
    cover(
        models.JobAttempt,
        meaning="An attempt at a job: when it was tried, and what came of it.",
        kept=kept,
        follows="job_id",
        columns={
            "id": "The attempt's identifier.",
            "job_id": "The job that was tried.",
            "company_id": "The company that it was done for.",
            "number": "Which attempt of the job it was, counted from 1.",
            "outcome": "What came of it, such as completed, failed, timed_out, lost or cancelled.",
            "error": "Why it failed; empty if it did not.",
            "started_at": "When it began.",
            "ended_at": "When it ended.",
        },
        redact={"traceback": PROGRAM_TEXT, "worker": "Names HyreLog's own machines, which is about no person."},
    )
    cover(
        models.JobLog,
        meaning="A line that was written down while a job was done.",
        kept=kept,
        follows="job_id",
        columns={
            "id": "The line's identifier.",
            "job_id": "The job that it tells of.",
            "company_id": "The company that the job is done for.",
            "attempt": "In which attempt it was written.",
            "level": "How much it matters: debug, info, warning or error.",
            "text": "What was written.",
            "at": "When it was written.",
        },
    )
