"""The death of jobs: whoever is to know of one that failed for good is told within the transaction in which it did."""

from collections.abc import Sequence
from datetime import datetime

from jobs import alerting
from jobs.models import Job
from jobs.registry import declares, handler_of


def died(jobs: Sequence[Job], *, now: datetime) -> None:
    """Tell each job's handler, and the operators."""
    for job in jobs:
        if declares(job.type) and (tell := handler_of(job.type).died):
            tell(job, now)
    alerting.died(jobs, now=now)
