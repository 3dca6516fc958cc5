"""Routes of webhooks and their deliveries."""

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError, invalid, not_found
from audit.api.pages import Page, page
from audit.canonical import UncanonicalValue, check
from audit.models import Workspace
from webhooks import api_recovering
from webhooks.models import Webhook, WebhookDelivery
from webhooks.models.webhook import TooManyWebhooks
from webhooks.sending.addresses import BlockedAddress
from webhooks.tasks import address_policy

router = Router(tags=["webhooks"])
router.add_router("", api_recovering.router)


def _storable(text: str) -> str:
    try:
        check(text, "")
    except UncanonicalValue as error:
        raise ValueError(error.rule) from None
    return text


Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_storable)]
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=100)]
Status = Literal["PENDING", "SENDING", "SUCCESS", "FAILED", "HELD", "CANCELLED", "RETRYING"]


class WebhookIn(Schema):
    """A webhook as it is created. `*` in a pattern stands for any run of characters."""

    model_config = ConfigDict(extra="forbid")
    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    workspaceId: uuid.UUID | None = None  # noqa: N815  JSON is camelCase
    events: Patterns = ["*"]
    categories: Patterns = ["*"]
    description: Annotated[str, StringConstraints(max_length=500), AfterValidator(_storable)] = ""


@router.post("/key/company/webhooks", auth=company_key, response={201: dict[str, Any]}, summary="Create a webhook")
def create_webhook(request: HttpRequest, webhook: WebhookIn) -> tuple[int, dict[str, Any]]:
    """The answer holds `secret`, which is not shown again."""
    company = key_of(request).company
    try:
        address_policy().check_url(webhook.url)
    except BlockedAddress as error:
        raise invalid("url", str(error).removeprefix("url: ")) from None
    workspace = None
    if webhook.workspaceId is not None:
        workspace = Workspace.objects.filter(company=company, pk=webhook.workspaceId).first()
        if workspace is None:
            raise invalid("workspaceId", "is no workspace of this company")
    try:
        created, secret = Webhook.objects.register(
            company=company,
            url=webhook.url,
            workspace=workspace,
            events=webhook.events,
            categories=webhook.categories,
            description=webhook.description,
        )
    except TooManyWebhooks as error:
        raise ApiError(409, "too_many", str(error)) from None
    return 201, {**created.as_json(), "secret": secret}


@router.get("/key/company/webhooks", auth=company_key, response=dict[str, Any], summary="List webhooks")
def list_webhooks(request: HttpRequest, asked: Page) -> dict[str, Any]:
    """Newest first."""
    webhooks = Webhook.objects.of(key_of(request).company).with_health()
    shown, following = page(webhooks, asked, by="id", item=Webhook.as_json)
    return {"webhooks": shown, "nextCursor": following}


@router.get("/key/company/webhooks/{uuid:webhook_id}", auth=company_key, response=dict[str, Any])
def get_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> dict[str, Any]:
    return _webhook(request, webhook_id).as_json()


@router.delete("/key/company/webhooks/{uuid:webhook_id}", auth=company_key, response={204: None})
def delete_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> tuple[int, None]:
    """What waits for it is cancelled; its log stays."""
    if not _webhook(request, webhook_id).delete_softly(now=timezone.now()):
        raise not_found("webhook")
    return 204, None


@router.get("/key/company/webhooks/{uuid:webhook_id}/deliveries", auth=company_key, response=dict[str, Any])
def list_deliveries(
    request: HttpRequest, webhook_id: uuid.UUID, asked: Page, status: Annotated[Status | None, Query()] = None
) -> dict[str, Any]:
    """Newest first; `status=RETRYING` shows failed ones that will be tried again."""
    deliveries = WebhookDelivery.objects.of(key_of(request).company).filter(webhook=_webhook(request, webhook_id))
    if status is not None:
        deliveries = deliveries.in_status(status)
    shown, following = page(deliveries, asked, by="id", item=WebhookDelivery.as_json)
    return {"deliveries": shown, "nextCursor": following}


@router.get("/key/company/deliveries/{uuid:delivery_id}", auth=company_key, response=dict[str, Any])
def get_delivery(request: HttpRequest, delivery_id: uuid.UUID) -> dict[str, Any]:
    """With every attempt, the first one first."""
    delivery = WebhookDelivery.objects.of(key_of(request).company).filter(pk=delivery_id).first()
    if delivery is None:
        raise not_found("delivery")
    attempts = [attempt.as_json() for attempt in delivery.attempts.order_by("number")]
    return {**delivery.as_json(), "attemptLog": attempts}


def _webhook(request: HttpRequest, webhook_id: uuid.UUID) -> Webhook:
    webhook = Webhook.objects.of(key_of(request).company).filter(pk=webhook_id).first()
    if webhook is None:
        raise not_found("webhook")
    return webhook
