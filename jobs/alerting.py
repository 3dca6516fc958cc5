"""Telling the operators of dead letters: one e-mail for all jobs of a type that died within a minute."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from audit.chain import timestamp
from jobs.enqueueing import enqueue
from jobs.models import Job

ALERT = "jobs.alert"
GATHERED_FOR = timedelta(minutes=1)
"""What dies within this time after the first one is told of in the same e-mail."""
SHOWN = 20
"""Dead letters that an e-mail names at the most."""
ERROR = 500
"""Characters of an error that it quotes."""


def died(jobs: Iterable[Job], *, now: datetime) -> None:
    """Have the operators told of jobs that died for good, in the transaction in which they did."""
    if not settings.OPERATORS_EMAIL:
        return
    first: dict[str, str] = {}
    for job in jobs:
        if job.type != ALERT and job.completed_at:
            ended = timestamp(job.completed_at)
            first[job.type] = min(ended, first.get(job.type, ended))
    for job_type in sorted(first):  # in one order, so that no two transactions wait for each other's alerts
        _alert(job_type, since=first[job_type], now=now)


def _alert(job_type: str, *, since: str, now: datetime) -> None:
    """Join the alert of a type that waits to be sent, or have a new one made.

    Its row stays locked until the caller's transaction ends: whoever sends it then sees what the caller has done. One
    that is being sent has read its list already.
    """
    key = job_type
    while True:
        payload = {"type": job_type, "since": since}
        alert, new = enqueue(ALERT, payload, key=key, run_at=now + GATHERED_FOR, now=now)
        if new:
            return
        waiting = Job.objects.filter(pk=alert.pk, status=Job.Status.PENDING).select_for_update().first()
        if waiting is None:
            key = f"{job_type} after {alert.pk}"
            continue
        if since < waiting.payload["since"]:
            waiting.payload = payload
            waiting.save(update_fields=["payload"])
        return


def report(job_type: str, *, since: datetime) -> tuple[str, str] | None:
    """Subject and text of the e-mail about the dead letters of a type; None where all were retried meanwhile."""
    dead = Job.objects.dead().filter(type=job_type, completed_at__gte=since).order_by("completed_at")
    count, shown = dead.count(), list(dead[:SHOWN])
    if not shown:
        return None
    lines = [
        f"{job.completed_at:%Y-%m-%d %H:%M:%S} UTC  {job.id}  attempt {job.attempt}: {job.error[:ERROR]}"
        for job in shown
    ]
    more = [f"and {count - SHOWN} more"] if count > SHOWN else []
    advice = "They keep their payload, error, traceback and log; see Jobs in the admin, where they can be retried."
    subject = f"HyreLog: {count} {'job' if count == 1 else 'jobs'} of the type {job_type} failed for good"
    return subject, "\n".join([f"{subject}.", "", *lines, *more, "", advice, ""])
