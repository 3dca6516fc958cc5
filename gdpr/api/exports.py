"""Requesting exports, and looking at them."""

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from audit.api.auth import company_key, key_of
from audit.api.errors import invalid, not_found, too_many
from audit.api.idempotency import HEADER, Answer, once
from audit.api.pages import Page, page
from audit.chain import timestamp
from gdpr.api.subjects import SUBJECT, read_subject
from gdpr.models import ExportArchive, ExportRequest
from gdpr.models.request import ExportRequestQuerySet
from gdpr.requesting import TooManyExports, request_export
from gdpr.subjects import Subject
from jobs.api.jobs import Status
from jobs.models import Job

router = Router()

EXPORTS = "/key/company/gdpr/exports"
ONE = f"{EXPORTS}/{{uuid:job_id}}"

ACCEPTED = "The export was accepted; its archive will be ready soon."
RUNNING = "An export of this scope is already under way; this is that one."
ANOTHER_CSV = {
    True: " It comes with the events as CSV, too, although this request did not ask for that.",
    False: " It comes without the CSV that this request asked for: request another one after its end, or cancel it.",
}


class ExportIn(Schema):
    """Whose data: the whole company's, or one person's."""

    model_config = ConfigDict(extra="forbid")
    scope: Literal["company", "subject"]
    # What it has to be is said by Subject.read, to whoever asks, here or elsewhere.
    subject: Any = Field(
        default=None,
        description="The person, by the identifiers under which the events name them; with the scope `subject` only.",
        json_schema_extra=SUBJECT,
    )
    csv: bool = Field(default=False, strict=True, description="The events as a table for spreadsheets, too.")

    def person(self) -> Subject | None:
        """Whom it is about; raises ApiError 422."""
        if self.scope == "company":
            if self.subject is not None:
                raise invalid("subject", "must be left out with the scope company, which is about everybody")
            return None
        if self.subject is None:
            raise invalid("subject", "is required with the scope subject")
        return read_subject(self.subject)


class ExportFilters(Schema):
    """Which exports a list shows."""

    status: Status | None = None
    scope: Literal["company", "subject"] | None = None

    def apply(self, exports: ExportRequestQuerySet) -> ExportRequestQuerySet:
        wanted = {"job__status": self.status, "scope": self.scope}
        return exports.filter(**{name: value for name, value in wanted.items() if value is not None})


@router.post(
    "/key/company/gdpr/export",
    auth=company_key,
    response={202: dict[str, Any]},
    summary="Request an export",
    openapi_extra=HEADER,
)
def post_export(request: HttpRequest, export: ExportIn) -> Answer:
    """While one of the same scope is under way, that one is the answer; of a subject, one with the same identifiers.

    429 after `GDPR_EXPORTS_PER_DAY` within 24 hours, with when to come back.
    """

    def answer() -> Answer:
        key, now = key_of(request), timezone.now()
        try:
            asked, new = request_export(
                company=key.company,
                scope=export.scope,
                subject=export.person(),
                csv=export.csv,
                requested_by=f"API key {key}",
                now=now,
            )
        except TooManyExports as error:
            details = {"limit": error.limit, "retryAt": timestamp(now + error.retry_after)}
            raise too_many(str(error), retry_after=error.retry_after, details=details) from None
        message = ACCEPTED if new else RUNNING + ("" if asked.csv == export.csv else ANOTHER_CSV[asked.csv])
        return 202, {
            "jobId": str(asked.job_id),
            "status": asked.job.status,
            "scope": asked.scope,
            "companyId": str(asked.company_id),
            "message": message,
            "createdAt": timestamp(asked.created_at),
        }

    return once(request, key_of(request), route="gdpr/export", now=timezone.now(), answer=answer)


@router.get(EXPORTS, auth=company_key, response=dict[str, Any], summary="List exports")
def list_exports(request: HttpRequest, asked: Page, filters: Annotated[ExportFilters, Query()]) -> dict[str, Any]:
    """Newest first."""
    shown, following = page(filters.apply(_exports(request)), asked, by="job_id", item=_as_json)
    return {"exports": shown, "nextCursor": following}


@router.get(ONE, auth=company_key, response=dict[str, Any], summary="Show an export")
def get_export(request: HttpRequest, job_id: uuid.UUID) -> dict[str, Any]:
    """Cancel one by `POST /v1/key/company/jobs/{jobId}/cancel`."""
    return _as_json(export_of(request, job_id))


def export_of(request: HttpRequest, job_id: uuid.UUID) -> ExportRequest:
    """The company's request whose job that is; raises ApiError 404."""
    asked = _exports(request).filter(pk=job_id).first()
    if asked is None:
        raise not_found("export")
    return asked


def archive_of(asked: ExportRequest) -> ExportArchive | None:
    return getattr(asked.job, "archive", None)


def _exports(request: HttpRequest) -> ExportRequestQuerySet:
    large = ("job__payload", "job__secrets", "job__traceback", "job__follow_up")
    return ExportRequest.objects.of(key_of(request).company).select_related("job__archive").defer(*large)


def _as_json(asked: ExportRequest) -> dict[str, Any]:
    job, archive = asked.job, archive_of(asked)
    # What an attempt before this one left there says nothing of what waits or has ended.
    so_far = job.result if job.status == Job.Status.PROCESSING and isinstance(job.result, dict) else {}
    return {
        "jobId": str(job.id),
        "status": job.status,
        "scope": asked.scope,
        "subject": asked.subject,
        "csv": asked.csv,
        "companyId": str(asked.company_id),
        "requestedBy": asked.requested_by,
        "createdAt": timestamp(asked.created_at),
        "dueAt": timestamp(asked.due_at),
        "extendedAt": asked.extended_at and timestamp(asked.extended_at),
        "extensionReason": asked.extension_reason or None,
        "progress": job.progress,
        "step": job.step or None,
        **{name: so_far.get(name) for name in ("rows", "bytes", "expectedRows", "expectedBytes")},
        "attempts": job.attempt,
        "lost": job.lost,
        "error": job.error or None,
        "startedAt": job.started_at and timestamp(job.started_at),
        "completedAt": job.completed_at and timestamp(job.completed_at),
        "archive": archive and archive.as_json(),
    }
