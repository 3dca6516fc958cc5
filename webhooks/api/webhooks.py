"""A company's webhooks: making, changing, ending them, and the secrets that sign for them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router
from pydantic import BaseModel, ConfigDict, Field

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError, invalid, not_found
from audit.api.pages import Page, page
from audit.models import Workspace
from jobs import doorbell
from webhooks.custom_headers import InvalidHeaders
from webhooks.models import Webhook
from webhooks.models.webhook import TooManyWebhooks
from webhooks.options import LONGEST_OVERLAP, OVERLAP, Options, Reason, Url
from webhooks.planning import LANE

router = Router()
ONE = "/key/company/webhooks/{uuid:webhook_id}"


class WebhookIn(Options):
    """A webhook as it is created; only `url` is required."""

    model_config = ConfigDict(json_schema_extra=None)
    url: Url = Field(description=Options.model_fields["url"].description, examples=Options.model_fields["url"].examples)
    workspace_id: uuid.UUID | None = Field(
        default=None,
        alias="workspaceId",
        description="Hear the events of this workspace; null for the whole company. It stays what it is.",
    )


class Disabling(BaseModel):
    """Why a webhook is disabled."""

    model_config = ConfigDict(extra="forbid")
    reason: Reason = Field(default="disabled through the API", description="Kept with the webhook and in its event.")


class Enabling(BaseModel):
    """What becomes of the deliveries that were held."""

    model_config = ConfigDict(extra="forbid")
    recover: bool = Field(
        default=False, description="Deliver what was held meanwhile. Otherwise it stays held until it is recovered."
    )


class Rotation(BaseModel):
    """How a secret is replaced."""

    model_config = ConfigDict(extra="forbid")
    overlap_hours: Annotated[int, Field(strict=True, ge=0, le=LONGEST_OVERLAP)] = Field(
        default=OVERLAP,
        alias="overlapHours",
        description="For how long requests are signed with the previous secret too; 0 ends it at once.",
    )


@router.post("/key/company/webhooks", auth=company_key, response={201: dict[str, Any]}, summary="Create a webhook")
def create_webhook(request: HttpRequest, webhook: WebhookIn) -> tuple[int, dict[str, Any]]:
    """The answer holds `secret`, with which requests are signed. It is not shown again."""
    company = key_of(request).company
    workspace = None
    if webhook.workspace_id is not None:
        workspace = Workspace.objects.filter(company=company, pk=webhook.workspace_id).first()
        if workspace is None:
            raise invalid("workspaceId", "is no workspace of this company")
    try:
        with _headers_checked():
            created, secret = Webhook.objects.register(company=company, workspace=workspace, **webhook.chosen())
    except TooManyWebhooks as error:
        raise ApiError(409, "too_many", str(error)) from None
    return 201, {**created.as_json(), "secret": secret}


@router.get("/key/company/webhooks", auth=company_key, response=dict[str, Any], summary="List webhooks")
def list_webhooks(
    request: HttpRequest,
    asked: Page,
    workspaceId: Annotated[  # noqa: N803  JSON is camelCase
        uuid.UUID | None, Query(description="Those of one workspace; those of the whole company are not among them.")
    ] = None,
    enabled: Annotated[bool | None, Query(description="Those that are enabled, or those that are disabled.")] = None,
) -> dict[str, Any]:
    """Newest first, each with the health of its endpoint."""
    webhooks = Webhook.objects.of(key_of(request).company).with_health()
    if workspaceId is not None:
        webhooks = webhooks.filter(workspace=workspaceId)
    if enabled is not None:
        webhooks = webhooks.in_state(enabled=enabled)
    shown, following = page(webhooks, asked, by="id", item=Webhook.as_json)
    return {"webhooks": shown, "nextCursor": following}


@router.get(ONE, auth=company_key, response=dict[str, Any], summary="Show a webhook")
def get_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> dict[str, Any]:
    """With the health of its endpoint. Values of headers are shown as `***`, credentials without password or token.

    The secret is not shown again.
    """
    return webhook_of(request, webhook_id).as_json()


@router.patch(ONE, auth=company_key, response=dict[str, Any], summary="Change a webhook")
def change_webhook(request: HttpRequest, webhook_id: uuid.UUID, changes: Options) -> dict[str, Any]:
    """What is not named stays as it is; `workspaceId` and the secret cannot be changed here.

    Requests that are on the wire go on as they were. What waits is sent by the new options.
    """
    webhook = webhook_of(request, webhook_id)
    with _headers_checked():
        if not webhook.change(**changes.chosen()):
            raise not_found("webhook")
    return _as_it_is_now(webhook)


@router.delete(ONE, auth=company_key, response={204: None}, summary="Delete a webhook")
def delete_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> tuple[int, None]:
    """What waits for it or is held is cancelled; its log stays, until it ends by age."""
    if not webhook_of(request, webhook_id).delete_softly(now=timezone.now()):
        raise not_found("webhook")
    return 204, None


@router.post(f"{ONE}/enable", auth=company_key, response=dict[str, Any], summary="Enable a webhook")
def enable_webhook(request: HttpRequest, webhook_id: uuid.UUID, enabling: Enabling | None = None) -> dict[str, Any]:
    """Deliver again what comes up from now on; the body may be left out. A webhook that is enabled already stays so.

    Failures of before do not count against its endpoint any more.
    """
    webhook = webhook_of(request, webhook_id)
    webhook.enable(now=timezone.now(), recover=(enabling or Enabling()).recover)
    doorbell.ring_on_commit(LANE)
    return _as_it_is_now(webhook)


@router.post(f"{ONE}/disable", auth=company_key, response=dict[str, Any], summary="Disable a webhook")
def disable_webhook(request: HttpRequest, webhook_id: uuid.UUID, disabling: Disabling | None = None) -> dict[str, Any]:
    """Deliver no more: what comes up is held; the body may be left out.

    A webhook that is disabled already stays so, with the reason it has.
    """
    webhook = webhook_of(request, webhook_id)
    webhook.disable(reason=(disabling or Disabling()).reason, now=timezone.now())
    return _as_it_is_now(webhook)


@router.post(f"{ONE}/rotate-secret", auth=company_key, response=dict[str, Any], summary="Rotate a webhook's secret")
def rotate_secret(request: HttpRequest, webhook_id: uuid.UUID, rotation: Rotation | None = None) -> dict[str, Any]:
    """The answer holds the new `secret`, which is not shown again. The body may be left out.

    Until `previousSecretValidUntil` requests carry two signatures, by the new secret and by the one before. A rotation
    within that time ends the secret before that one.
    """
    webhook = webhook_of(request, webhook_id)
    overlap = timedelta(hours=(rotation or Rotation()).overlap_hours)
    secret = webhook.rotate_secret(now=timezone.now(), overlap=overlap)
    if secret is None:
        raise not_found("webhook")
    return {**_as_it_is_now(webhook), "secret": secret}


def webhook_of(request: HttpRequest, webhook_id: uuid.UUID) -> Webhook:
    """The webhook of an id, if it is the asking company's; raises ApiError 404."""
    webhook = Webhook.objects.of(key_of(request).company).filter(pk=webhook_id).first()
    if webhook is None:
        raise not_found("webhook")
    return webhook


def _as_it_is_now(webhook: Webhook) -> dict[str, Any]:
    webhook.refresh_from_db()
    return webhook.as_json()


@contextmanager
def _headers_checked() -> Iterator[None]:
    try:
        yield
    except InvalidHeaders as error:
        raise invalid(error.path, error.rule) from None
