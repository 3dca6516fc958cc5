"""A company's jobs: creating them, looking at them, counting them."""

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from audit.api import limits
from audit.api.auth import company_key, key_of
from audit.api.errors import not_found
from audit.api.events import Wanted
from audit.api.idempotency import HEADER, Answer, once
from audit.api.pages import Page, page
from jobs.api.creating import JobIn, create
from jobs.models import Job, JobLog
from jobs.models.job import JobQuerySet
from jobs.registry import public_types
from jobs.statistics import statistics_of

router = Router()

JOBS = "/key/company/jobs"
ONE = f"{JOBS}/{{uuid:job_id}}"
HISTORY = 100
"""Attempts that one job shows at the most: the latest."""
STATS_A_MINUTE = 60
"""Of one company. Each counts all jobs that it has."""

Status = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"]


class JobFilters(Schema):
    """Which jobs a list shows."""

    status: Annotated[
        Status | None, Field(description="`PENDING` shows also those that are scheduled, or wait for another attempt.")
    ] = None
    type: Annotated[Wanted | None, Field(description="Jobs of this type, such as `gdpr.export`.")] = None

    def apply(self, jobs: JobQuerySet) -> JobQuerySet:
        wanted = {"status": self.status, "type": self.type}
        return jobs.filter(**{name: value for name, value in wanted.items() if value is not None})


@router.post(
    JOBS,
    auth=company_key,
    response={200: dict[str, Any], 201: dict[str, Any]},
    summary="Create a job",
    openapi_extra=HEADER,
)
def create_job(request: HttpRequest, job: JobIn) -> Answer:
    """201 with the new job, or 200 with the one that waits or runs under the same type and `key`.

    429 while 10,000 jobs of the company wait.
    """

    def answer() -> Answer:
        created, new = create(key_of(request).company, job, now=timezone.now())
        return 201 if new else 200, created.as_json()

    return once(request, key_of(request), route="jobs", now=timezone.now(), answer=answer)


@router.get(JOBS, auth=company_key, response=dict[str, Any], summary="List jobs")
def list_jobs(request: HttpRequest, asked: Page, filters: Annotated[JobFilters, Query()]) -> dict[str, Any]:
    """Newest first: those that were created here, and those by which HyreLog works for the company."""
    jobs = filters.apply(Job.objects.of(key_of(request).company))
    shown, following = page(jobs, asked, by="id", item=Job.as_json)
    return {"jobs": shown, "nextCursor": following}


@router.get(f"{JOBS}/stats", auth=company_key, response=dict[str, Any], summary="Count jobs")
def job_stats(request: HttpRequest) -> dict[str, Any]:
    """How many jobs there are in each status, in all and by type, until they end by age.

    `oldestWaiting` is the `runAt` of the job that has been due for longest, null where none is. Sixty a minute.
    """
    company = key_of(request).company
    limits.spend(
        f"job-stats:{company.pk}",
        most=STATS_A_MINUTE,
        error=f"This company has counted its jobs {STATS_A_MINUTE} times within a minute, which is the most.",
    )
    return statistics_of(Job.objects.of(company), by=("type",), now=timezone.now()).as_json()


@router.get(ONE, auth=company_key, response=dict[str, Any], summary="Show a job")
def get_job(request: HttpRequest, job_id: uuid.UUID) -> dict[str, Any]:
    """With its attempts in `history`, the first one first; of more than a hundred, the latest.

    `payload` is what it was created with, for the types that can be created here; null for those of HyreLog itself.
    """
    job = job_of(request, job_id)
    latest = list(job.history.order_by("-id")[:HISTORY])
    payload = job.payload if job.type in public_types() else None
    return {**job.as_json(), "payload": payload, "history": [attempt.as_json() for attempt in reversed(latest)]}


@router.get(f"{ONE}/log", auth=company_key, response=dict[str, Any], summary="Read a job's log")
def get_log(request: HttpRequest, job_id: uuid.UUID, asked: Page) -> dict[str, Any]:
    """What the job's handler wrote, over all attempts, the first line first; `nextCursor` continues."""
    lines = JobLog.objects.filter(job=job_of(request, job_id))
    shown, following = page(lines, asked, by="id", item=JobLog.as_json, oldest_first=True)
    return {"log": shown, "nextCursor": following}


def job_of(request: HttpRequest, job_id: uuid.UUID) -> Job:
    """The job of an id, if it is the asking company's; raises ApiError 404."""
    job = Job.objects.of(key_of(request).company).filter(pk=job_id).first()
    if job is None:
        raise not_found("job")
    return job
