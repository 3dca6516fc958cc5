"""Routes of jobs."""

import uuid
from typing import Any

from django.http import HttpRequest
from ninja import Router

from audit.api.auth import company_key, key_of
from audit.api.errors import not_found
from audit.api.pages import Page, page
from jobs.models import Job

router = Router(tags=["jobs"])


@router.get("/key/company/jobs", auth=company_key, response=dict[str, Any], summary="List jobs")
def list_jobs(request: HttpRequest, asked: Page) -> dict[str, Any]:
    """Newest first."""
    shown, following = page(Job.objects.of(key_of(request).company), asked, by="id", item=Job.as_json)
    return {"jobs": shown, "nextCursor": following}


@router.get("/key/company/jobs/{uuid:job_id}", auth=company_key, response=dict[str, Any], summary="Show a job")
def get_job(request: HttpRequest, job_id: uuid.UUID) -> dict[str, Any]:
    job = Job.objects.of(key_of(request).company).filter(pk=job_id).first()
    if job is None:
        raise not_found("job")
    return job.as_json()
