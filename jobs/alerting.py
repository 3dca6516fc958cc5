"""Telling the operators of dead letters: one e-mail for all jobs of a type that died within a minute."""

from datetime import datetime, timedelta

from django.conf import settings

from jobs.enqueueing import enqueue
from jobs.models import Job

ALERT = "jobs.alert"
GATHERED_FOR = timedelta(minutes=1)
"""What dies within this time after the first one is told of in the same e-mail."""
SHOWN = 20
"""Dead letters that an e-mail names at the most."""


def died(job: Job, *, now: datetime) -> None:
    """Have the operators told that a job died for good, in the transaction in which it did."""
    if settings.OPERATORS_EMAIL and job.type != ALERT:
        payload = {"type": job.type, "since": now.isoformat()}
        enqueue(ALERT, payload, key=job.type, run_at=now + GATHERED_FOR, now=now)


def report(job_type: str, *, since: datetime) -> tuple[str, str]:
    """Subject and text of the e-mail about the dead letters of a type."""
    dead = Job.objects.dead().filter(type=job_type, completed_at__gte=since).order_by("completed_at")
    count, shown = dead.count(), list(dead[:SHOWN])
    lines = [f"{job.completed_at:%Y-%m-%d %H:%M:%S} UTC  {job.id}  attempt {job.attempt}: {job.error}" for job in shown]
    more = [f"and {count - SHOWN} more"] if count > SHOWN else []
    advice = "They keep their payload, error, traceback and log; see Jobs in the admin, where they can be retried."
    subject = f"HyreLog: {count} {'job' if count == 1 else 'jobs'} of the type {job_type} failed for good"
    return subject, "\n".join([f"{subject}.", "", *lines, *more, "", advice, ""])
