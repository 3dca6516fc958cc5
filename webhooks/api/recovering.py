"""Routes that make many deliveries due again: recover, replay. Each begins a job."""

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import ConfigDict, Field

from audit.api.auth import company_key
from audit.api.errors import ApiError, invalid
from audit.api.events import Moment
from jobs.models import Job
from webhooks.api.webhooks import webhook_of
from webhooks.backlog import AlreadyRunning, WebhookOff
from webhooks.options import Patterns
from webhooks.recovering import request_recovery
from webhooks.replaying import request_replay

router = Router()


class RecoverIn(Schema):
    """Which deliveries: those that came up from `since` until before `until` (now, where it is left out)."""

    model_config = ConfigDict(extra="forbid")
    since: Annotated[Moment, Field(description="Those that came up (`createdAt`) at or after this moment.")]
    until: Annotated[Moment | None, Field(description="And before this one; null: up to now.")] = None
    statuses: Annotated[
        list[Literal["FAILED", "HELD"]],
        Field(min_length=1, max_length=2, description="`FAILED`: what was given up; what is still retried is not."),
    ] = ["FAILED", "HELD"]


class ReplayIn(Schema):
    """Which events: those recorded from `from` until before `to`; `events` are patterns on the action."""

    model_config = ConfigDict(extra="forbid")
    from_: Annotated[Moment, Field(alias="from", description="Events recorded (`recordedAt`) at or after this moment.")]
    to: Annotated[Moment, Field(description="And before this one, which may not lie in the future.")]
    events: Annotated[
        Patterns, Field(description="Patterns on the action, beside those of the webhook; `*` for any characters.")
    ] = ["*"]


@router.post(
    "/key/company/webhooks/{uuid:webhook_id}/recover",
    auth=company_key,
    response={202: dict[str, Any]},
    summary="Recover deliveries",
)
def recover(request: HttpRequest, webhook_id: uuid.UUID, asked: RecoverIn) -> tuple[int, dict[str, Any]]:
    """Make due again what was given up or held. The answer is the job that does it: `GET /v1/key/company/jobs/{jobId}`.

    The same request again, while the job is at work, answers with that job. 409 for a webhook that is disabled, or that
    another recovery is at work for.
    """
    webhook, now = webhook_of(request, webhook_id), timezone.now()
    if asked.since > now:
        raise invalid("since", "lies in the future")
    if asked.until is not None and asked.until <= asked.since:
        raise invalid("until", "must be later than since")
    return _accepted(
        lambda: request_recovery(
            webhook=webhook, since=asked.since, until=asked.until, statuses=asked.statuses, now=now
        )
    )


@router.post(
    "/key/company/webhooks/{uuid:webhook_id}/replay",
    auth=company_key,
    response={202: dict[str, Any]},
    summary="Replay events",
)
def replay(request: HttpRequest, webhook_id: uuid.UUID, asked: ReplayIn) -> tuple[int, dict[str, Any]]:
    """Send the events of a time range that this webhook wants, whether it had them before or not.

    The answer is the job that does it: `GET /v1/key/company/jobs/{jobId}`. The same request again, while the job is at
    work, answers with that job. 409 for a webhook that is disabled, or that another replay is at work for. What waits,
    is on the wire or is held already is left as it is.
    """
    webhook, now = webhook_of(request, webhook_id), timezone.now()
    if asked.to > now:
        raise invalid("to", "lies in the future")
    if asked.from_ >= asked.to:
        raise invalid("from", "must be earlier than to")
    return _accepted(
        lambda: request_replay(webhook=webhook, since=asked.from_, until=asked.to, patterns=asked.events, now=now)
    )


def _accepted(begin: Callable[[], Job]) -> tuple[int, dict[str, Any]]:
    try:
        return 202, begin().as_json()
    except WebhookOff as error:
        raise ApiError(409, "disabled", str(error)) from None
    except AlreadyRunning as error:
        raise ApiError(409, "already_running", str(error), details={"jobId": str(error.job.id)}) from None
