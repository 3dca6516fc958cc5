"""Deliveries of a company's webhooks: looking at them, and sending one again."""

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from audit.api.auth import company_key, key_of
from audit.api.errors import ApiError, not_found
from audit.api.pages import Page, page
from audit.chain import timestamp
from jobs import doorbell
from webhooks.api.webhooks import ONE, webhook_of
from webhooks.models import WebhookDelivery
from webhooks.models.delivery import WebhookDeliveryQuerySet
from webhooks.planning import LANE

router = Router()
Status = Literal["PENDING", "SENDING", "SUCCESS", "FAILED", "HELD", "CANCELLED", "RETRYING"]


class DeliveryFilters(Schema):
    """Which deliveries a list shows."""

    status: Annotated[
        Status | None, Field(description="`FAILED` shows those given up too, `RETRYING` only those tried again.")
    ] = None
    eventId: Annotated[uuid.UUID | None, Field(description="The delivery of this event.")] = None  # noqa: N815

    def apply(self, deliveries: WebhookDeliveryQuerySet) -> WebhookDeliveryQuerySet:
        if self.status is not None:
            deliveries = deliveries.in_status(self.status)
        return deliveries if self.eventId is None else deliveries.filter(event=self.eventId)


@router.get(f"{ONE}/deliveries", auth=company_key, response=dict[str, Any], summary="List a webhook's deliveries")
def list_deliveries(
    request: HttpRequest, webhook_id: uuid.UUID, asked: Page, filters: Annotated[DeliveryFilters, Query()]
) -> dict[str, Any]:
    """Newest first, without their attempts; `nextCursor` continues."""
    deliveries = WebhookDelivery.objects.of(key_of(request).company).filter(webhook=webhook_of(request, webhook_id))
    shown, following = page(filters.apply(deliveries), asked, by="id", item=WebhookDelivery.as_json)
    return {"deliveries": shown, "nextCursor": following}


@router.get(
    "/key/company/deliveries/{uuid:delivery_id}", auth=company_key, response=dict[str, Any], summary="Show a delivery"
)
def get_delivery(request: HttpRequest, delivery_id: uuid.UUID) -> dict[str, Any]:
    """With its attempts in `attemptLog`, the first one first. Attempts end by age before their delivery does."""
    delivery = _delivery_of(request, delivery_id)
    attempts = [attempt.as_json() for attempt in delivery.attempts.order_by("number")]
    return {**delivery.as_json(), "attemptLog": attempts}


@router.post(
    "/key/company/deliveries/{uuid:delivery_id}/redeliver",
    auth=company_key,
    response=dict[str, Any],
    summary="Redeliver one delivery",
)
def redeliver(request: HttpRequest, delivery_id: uuid.UUID) -> dict[str, Any]:
    """Begin a new round of attempts for a delivery that is at rest: delivered, given up or cancelled.

    409 for one that waits, is on the wire or is held, and where its webhook was deleted. The receiver sees the same
    `webhook-id` as before, and `HyreLog-Replay: true`.
    """
    delivery = _delivery_of(request, delivery_id)
    again = WebhookDelivery.objects.filter(pk=delivery.pk).redeliver(now=timezone.now())
    delivery = _delivery_of(request, delivery_id)
    if not again:
        raise _not_at_rest(delivery)
    doorbell.ring_on_commit(LANE)
    return delivery.as_json()


def _delivery_of(request: HttpRequest, delivery_id: uuid.UUID) -> WebhookDelivery:
    deliveries = WebhookDelivery.objects.of(key_of(request).company).select_related("webhook")
    delivery = deliveries.filter(pk=delivery_id).first()
    if delivery is None:
        raise not_found("delivery")
    return delivery


def _not_at_rest(delivery: WebhookDelivery) -> ApiError:
    if delivery.webhook.deleted_at is not None:
        return ApiError(
            409, "webhook_deleted", "The webhook of this delivery was deleted; nothing is sent to it again."
        )
    if delivery.status == WebhookDelivery.Status.HELD:
        return ApiError(
            409,
            "held",
            "This delivery is held, since its webhook was disabled. First enable the webhook, where it still is; then"
            f" recover what is held: POST /v1/key/company/webhooks/{delivery.webhook_id}/recover.",
        )
    if delivery.next_attempt_at is not None:
        due = timestamp(delivery.next_attempt_at)
        return ApiError(409, "waiting", f"This delivery waits for its next attempt, due at {due}.")
    return ApiError(409, "sending", "This delivery was on the wire; ask again once it has its answer.")
