"""Enqueueing: a job row in the caller's transaction, and a ring once that is committed."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from audit.canonical import check
from audit.models import Company
from audit.notices import notice
from jobs import doorbell
from jobs.models import Job
from jobs.registry import handler_of


def enqueue(  # noqa: PLR0913  each is a property of a job
    job_type: str,
    payload: dict[str, Any],
    *,
    now: datetime,
    company: Company | None = None,
    key: str | None = None,
    priority: int = 0,
    run_at: datetime | None = None,
    max_attempts: int | None = None,
) -> tuple[Job, bool]:
    """The job, and whether it is new: while one of the same type, company and `key` is active, that one comes back.

    Raises jobs.registry.UnknownJobType, or audit.canonical.UncanonicalValue for a payload that cannot be stored.
    """
    declared = handler_of(job_type)
    check(payload, "payload")
    job = Job(
        company=company,
        type=job_type,
        queue=declared.queue,
        payload=payload,
        key=key,
        priority=priority,
        run_at=run_at or now,
        max_attempts=max_attempts or declared.max_attempts,
    )
    try:
        with transaction.atomic():
            job.save(force_insert=True)
    except IntegrityError:
        active = Job.objects.active().filter(company=company, type=job_type, key=key).first() if key else None
        if active is None:
            raise
        return active, False
    notice("job.created", job=job.id, type=job_type, company=company and company.id)
    doorbell.ring_on_commit(declared.queue)
    return job, True
