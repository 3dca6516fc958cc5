"""Routes of exports: request, look, link, download."""

import uuid
from typing import Any, Literal

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from ninja import Router, Schema
from pydantic import ConfigDict

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError, not_found, too_many
from audit.api.idempotency import HEADER, Answer, once
from audit.api.pages import Page, page
from audit.chain import timestamp
from gdpr.downloading import download
from gdpr.models import DownloadLink, ExportArchive
from gdpr.requesting import EXPORT, TooManyExports, request_export
from jobs.models import Job

router = Router(tags=["gdpr"])

MESSAGES = {
    True: "The export was accepted; its archive will be ready soon.",
    False: "An export of this scope is already under way; this is that one.",
}


class ExportIn(Schema):
    """Whose data: the whole company's."""

    model_config = ConfigDict(extra="forbid")
    scope: Literal["company"]


@router.post(
    "/key/company/gdpr/export",
    auth=company_key,
    response={202: dict[str, Any]},
    summary="Request an export",
    openapi_extra=HEADER,
)
def post_export(request: HttpRequest, export: ExportIn) -> Answer:
    """While one of the same scope is under way, that one is the answer."""

    def answer() -> Answer:
        try:
            key = key_of(request)
            asked, new = request_export(
                company=key.company, scope=export.scope, requested_by=f"API key {key}", now=timezone.now()
            )
        except TooManyExports as error:
            raise too_many(str(error), retry_after=error.retry_after) from None
        return 202, {
            "jobId": str(asked.job_id),
            "status": asked.job.status,
            "scope": asked.scope,
            "companyId": str(asked.company_id),
            "message": MESSAGES[new],
            "createdAt": timestamp(asked.created_at),
        }

    return once(request, key_of(request), route="gdpr/export", now=timezone.now(), answer=answer)


@router.get("/key/company/gdpr/exports", auth=company_key, response=dict[str, Any], summary="List exports")
def list_exports(request: HttpRequest, asked: Page) -> dict[str, Any]:
    """Newest first."""
    exports = Job.objects.of(key_of(request).company).filter(type=EXPORT).select_related("archive", "export_request")
    shown, following = page(exports, asked, by="id", item=_as_json)
    return {"exports": shown, "nextCursor": following}


@router.get(
    "/key/company/gdpr/exports/{uuid:job_id}", auth=company_key, response=dict[str, Any], summary="Show an export"
)
def get_export(request: HttpRequest, job_id: uuid.UUID) -> dict[str, Any]:
    return _as_json(_export(request, job_id))


@router.post(
    "/key/company/gdpr/exports/{uuid:job_id}/links",
    auth=company_key,
    response={201: dict[str, Any]},
    summary="Make a link to an archive",
)
def post_link(request: HttpRequest, job_id: uuid.UUID) -> tuple[int, dict[str, Any]]:
    """An address for one complete download, within an hour; whoever has it needs no key."""
    archive, now = _archive(_export(request, job_id)), timezone.now()
    if archive is None or not archive.downloadable(now=now):
        raise ApiError(409, "not_ready", "This export has no archive to download: it is not ready, or has expired.")
    key = key_of(request)
    link, token = DownloadLink.objects.issue(archive=archive, issued_by=f"API key {key}", api_key=key, now=now)
    url = request.build_absolute_uri(f"/v1/gdpr/downloads/{token}")
    return 201, {"url": url, "expiresAt": timestamp(link.expires_at)}


@router.api_operation(["GET", "HEAD"], "/gdpr/downloads/{token}", auth=None, summary="Download an archive")
def get_download(request: HttpRequest, token: str) -> HttpResponseBase:
    """The archive itself (application/zip), with Range."""
    return download(request, token, now=timezone.now())


def _export(request: HttpRequest, job_id: uuid.UUID) -> Job:
    exports = Job.objects.of(key_of(request).company).filter(type=EXPORT, pk=job_id)
    job = exports.select_related("archive", "export_request").first()
    if job is None:
        raise not_found("export")
    return job


def _archive(job: Job) -> ExportArchive | None:
    return getattr(job, "archive", None)


def _as_json(job: Job) -> dict[str, Any]:
    archive = _archive(job)
    return {
        "jobId": str(job.id),
        "status": job.status,
        "scope": job.export_request.scope,
        "companyId": str(job.company_id),
        "progress": job.progress,
        "step": job.step or None,
        "attempts": job.attempt,
        "error": job.error or None,
        "createdAt": timestamp(job.created_at),
        "startedAt": job.started_at and timestamp(job.started_at),
        "completedAt": job.completed_at and timestamp(job.completed_at),
        "archive": archive and archive.as_json(),
    }
