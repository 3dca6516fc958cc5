"""Cancelling and retrying a company's jobs."""

import uuid
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router
from pydantic import BaseModel, ConfigDict, Field

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError
from jobs import doorbell
from jobs.api.creating import refuse_more
from jobs.api.jobs import ONE, job_of
from jobs.models import Job
from jobs.models.job import ACTIVE
from jobs.registry import Handler, UnknownJobType, handler_of

router = Router()


class Retrying(BaseModel):
    """How a job begins again."""

    model_config = ConfigDict(extra="forbid")
    reset_attempts: bool = Field(
        default=True,
        strict=True,
        alias="resetAttempts",
        description="Begin a new round of attempts; false: one attempt more.",
    )


@router.post(f"{ONE}/cancel", auth=company_key, response=dict[str, Any], summary="Cancel a job")
def cancel_job(request: HttpRequest, job_id: uuid.UUID) -> dict[str, Any]:
    """A waiting job is `CANCELLED` at once; a running one is told within two seconds, and until then `PROCESSING`.

    One that is told already stays so. 403 for a type that cannot be cancelled here, 409 for a job that has ended.
    """
    job = job_of(request, job_id)
    declared = _handler(job)
    if declared is None or not declared.cancellable:
        raise _not_allowed(job, "cancelled")
    cancelled = Job.objects.filter(pk=job.pk).cancel(now=timezone.now())
    job = job_of(request, job_id)
    if not cancelled and job.status not in ACTIVE:
        raise ApiError(409, "ended", f"This job is {job.status}; only a job that waits or runs can be cancelled.")
    return job.as_json()


@router.post(f"{ONE}/retry", auth=company_key, response=dict[str, Any], summary="Retry a job")
def retry_job(request: HttpRequest, job_id: uuid.UUID, retrying: Retrying | None = None) -> dict[str, Any]:
    """Make a job due again that has failed or was cancelled; the body may be left out.

    403 for a type that cannot be retried here: request such work anew. 409 for a job in another status, and where a
    job of the same type and `key` waits or runs. 429 while 10,000 jobs of the company wait.
    """
    job = job_of(request, job_id)
    declared = _handler(job)
    if declared is None or not declared.retryable:
        raise _not_allowed(job, "retried")
    refuse_more(key_of(request).company)
    fresh = (retrying or Retrying()).reset_attempts
    again = Job.objects.filter(pk=job.pk).retry(now=timezone.now(), fresh=fresh)
    job = job_of(request, job_id)
    if not again:
        raise _not_ended(job)
    doorbell.ring_on_commit(job.queue)
    return job.as_json()


def _handler(job: Job) -> Handler | None:
    """What declares the job's type; None for one that only another release knows."""
    try:
        return handler_of(job.type)
    except UnknownJobType:
        return None


def _not_allowed(job: Job, what: str) -> ApiError:
    return ApiError(403, "not_allowed", f"Jobs of the type {job.type} cannot be {what} through the API.")


def _not_ended(job: Job) -> ApiError:
    rivals = Job.objects.active_with(company=job.company_id, job_type=job.type, key=job.key).exclude(pk=job.pk)
    rival = rivals.first() if job.key else None
    if rival is not None and job.status not in ACTIVE:
        error = f"Job {rival.id} of the same type and key is {rival.status}; retry this one after its end."
        return ApiError(409, "key_active", error, details={"jobId": str(rival.id)})
    return ApiError(409, "not_ended", f"This job is {job.status}; only a failed or cancelled one can be retried.")
