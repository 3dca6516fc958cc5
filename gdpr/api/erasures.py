"""Requesting erasures, and looking at them; people decide on them in the admin (GDPR, Art. 17)."""

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError, invalid, not_found, too_many
from audit.api.events import Wanted
from audit.api.idempotency import HEADER, Answer, once
from audit.api.pages import Page, page
from audit.chain import timestamp
from gdpr.api.subjects import SUBJECT, read_subject
from gdpr.erasures import certificate, holds
from gdpr.erasures.reasons import InvalidReason
from gdpr.erasures.requesting import LOOK_AGAIN, TooManyErasures, request_erasure
from gdpr.models import Erasure, ErasureApproval, LegalHold
from gdpr.models.erasure import MOST_REASON, UNANSWERED, ErasureQuerySet
from gdpr.subjects import InvalidSubject

router = Router()

Status = Literal["REQUESTED", "APPROVED", "PROCESSING", "COMPLETED", "FAILED", "REJECTED"]

ERASURES = "/key/company/gdpr/erasures"
ONE = f"{ERASURES}/{{uuid:erasure_id}}"

ACCEPTED = "The request was accepted; the erasure runs once two people who operate HyreLog have approved it."
OPEN = "A request to erase this person is open already; this is that one."
FAILED = "An erasure of this person has failed, and whoever operates HyreLog has to repeat it; this is that one."
HELD = " A legal hold keeps this person's data: nothing is erased before it is lifted."
STATIC_PAGE = "default-src 'none'; style-src 'unsafe-inline'"
"""The policy of the certificate's page: of the texts in it that came from outside, none is run, nothing is fetched."""


class ErasureIn(Schema):
    """Whom to erase, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "subject": {"actorId": "u1", "email": ["ada@example.com"]},
                "reason": "She closed her account and asked for it (ticket 4711).",
            }
        },
    )
    subject: Any = Field(
        description="The person, by every identifier under which the rows name them: nothing is found by a guess.",
        json_schema_extra=SUBJECT,
    )
    reason: Wanted = Field(
        description="For those who approve it. Kept with the record of the erasure: do not name the person.",
        json_schema_extra={"minLength": 1, "maxLength": MOST_REASON},
    )


class ErasureFilters(Schema):
    """Which erasures a list shows."""

    status: Annotated[
        Status | None,
        Field(description="`APPROVED` has not begun; `FAILED` is repeated by whoever operates HyreLog."),
    ] = None

    def apply(self, erasures: ErasureQuerySet) -> ErasureQuerySet:
        return erasures if self.status is None else erasures.filter(status=self.status)


@router.post(
    ERASURES, auth=company_key, response={202: dict[str, Any]}, summary="Request an erasure", openapi_extra=HEADER
)
def post_erasure(request: HttpRequest, erasure: ErasureIn) -> Answer:
    """Nothing is erased before two different people have approved it, who see a preview of what would be.

    While a request with the same identifiers is open, or has failed, that one is the answer. 422 for identifiers (1 to
    20, of 255 characters at the most) or a reason that break a rule, 409 for an `Idempotency-Key` that came with
    another body, 429 while the company has 100 open requests, with when to come back.
    """

    def answer() -> Answer:
        key, subject = key_of(request), read_subject(erasure.subject)
        try:
            asked, new = request_erasure(
                company=key.company,
                subject=subject,
                reason=erasure.reason,
                requested_by=f"API key {key}",
                now=timezone.now(),
            )
        except InvalidSubject as error:
            raise invalid(error.path, error.rule) from None
        except InvalidReason as error:
            raise invalid("reason", error.rule) from None
        except TooManyErasures as error:
            raise too_many(str(error), retry_after=LOOK_AGAIN) from None
        before = FAILED if asked.status == Erasure.Status.FAILED else OPEN
        held = HELD if holds.blocking(key.company, subject) else ""
        return 202, {
            "erasureId": str(asked.pk),
            "status": asked.status,
            "companyId": str(asked.company_id),
            "message": (ACCEPTED if new else before) + held,
            "createdAt": timestamp(asked.created_at),
        }

    return once(request, key_of(request), route="gdpr/erasures", now=timezone.now(), answer=answer)


@router.get(ERASURES, auth=company_key, response=dict[str, Any], summary="List erasures")
def list_erasures(request: HttpRequest, asked: Page, filters: Annotated[ErasureFilters, Query()]) -> dict[str, Any]:
    """Newest first."""
    item = partial(_as_json, kept=_holds(request))
    shown, following = page(filters.apply(_erasures(request)), asked, by="id", item=item)
    return {"erasures": shown, "nextCursor": following}


@router.get(ONE, auth=company_key, response=dict[str, Any], summary="Show an erasure")
def get_erasure(request: HttpRequest, erasure_id: uuid.UUID) -> dict[str, Any]:
    """What was asked, what people decided, how far it is, and in the end its certificate.

    `preview` counts by table what would be erased, and what names the person and has to stay (`remaining`). `legalHold`
    is what keeps it from running now. `progress`, `step`, `attempts` and `error` are of its job; `counts` are the rows
    that were erased, by table. Once it is completed, `subject` is null: nothing here names the person any more.
    Its job is neither cancelled nor retried under `/v1/key/company/jobs` (403); the people who operate HyreLog do that.
    """
    return _as_json(_erasure(request, erasure_id), kept=_holds(request))


@router.get(
    f"{ONE}/certificate",
    auth=company_key,
    response=None,
    summary="Show the certificate of an erasure",
    openapi_extra={
        "responses": {200: {"description": "A page", "content": {"text/html": {"schema": {"type": "string"}}}}}
    },
)
def get_certificate(request: HttpRequest, erasure_id: uuid.UUID) -> HttpResponse:
    """As a page for people to read, print and keep; `certificate` of the erasure is the same for programs.

    409 before the erasure is completed.
    """
    erasure = _erasure(request, erasure_id)
    if erasure.certificate is None:
        error = f"This erasure is {erasure.status}; its certificate is made when it is completed."
        raise ApiError(409, "not_completed", error)
    written = certificate.as_page(erasure.certificate)
    headers = {"Content-Security-Policy": STATIC_PAGE, "Cache-Control": "private"}
    return HttpResponse(written, content_type="text/html; charset=utf-8", headers=headers)


def _erasure(request: HttpRequest, erasure_id: uuid.UUID) -> Erasure:
    """Raises ApiError 404."""
    erasure = _erasures(request).filter(pk=erasure_id).first()
    if erasure is None:
        raise not_found("erasure")
    return erasure


def _erasures(request: HttpRequest) -> ErasureQuerySet:
    large = ("job__payload", "job__secrets", "job__result", "job__traceback", "job__follow_up")
    approvals = Prefetch("approvals", ErasureApproval.objects.order_by("id"))
    return Erasure.objects.of(key_of(request).company).select_related("job").defer(*large).prefetch_related(approvals)


def _holds(request: HttpRequest) -> list[LegalHold]:
    return list(LegalHold.objects.active_in(key_of(request).company))


def _as_json(erasure: Erasure, *, kept: Sequence[LegalHold]) -> dict[str, Any]:
    job = erasure.job
    blocking = holds.first_blocking(kept, erasure.person()) if erasure.status in UNANSWERED else None
    return {
        "erasureId": str(erasure.pk),
        "status": erasure.status,
        "companyId": str(erasure.company_id),
        "subject": erasure.subject,
        "reason": erasure.reason,
        "requestedBy": erasure.requested_by,
        "createdAt": timestamp(erasure.created_at),
        "dueAt": timestamp(erasure.due_at),
        "preview": _preview(erasure),
        "approvals": [{"by": each.approved_by, "at": timestamp(each.at)} for each in erasure.approvals.all()],
        "rejection": _rejection(erasure),
        "legalHold": blocking and _hold(blocking),
        "jobId": job and str(job.pk),
        "progress": _progress(erasure),
        "step": job and (job.step or None),
        "attempts": job.attempt if job else 0,
        "error": job and (job.error or None),
        "counts": erasure.counts,
        "startedAt": erasure.started_at and timestamp(erasure.started_at),
        "completedAt": erasure.completed_at and timestamp(erasure.completed_at),
        "certificate": erasure.certificate,
    }


def _preview(erasure: Erasure) -> dict[str, Any] | None:
    if erasure.preview is None or erasure.previewed_at is None:
        return None
    return {**erasure.preview, "countedAt": timestamp(erasure.previewed_at)}


def _progress(erasure: Erasure) -> float:
    """Of its job; one that was completed once more after a restore has none."""
    if erasure.status == Erasure.Status.COMPLETED:
        return 1.0
    return erasure.job.progress if erasure.job else 0.0


def _rejection(erasure: Erasure) -> dict[str, Any] | None:
    if erasure.rejected_at is None:
        return None
    return {"by": erasure.rejected_by, "at": timestamp(erasure.rejected_at), "reason": erasure.rejection}


def _hold(hold: LegalHold) -> dict[str, Any]:
    return {"id": str(hold.pk), "since": timestamp(hold.placed_at), "reason": hold.reason}
