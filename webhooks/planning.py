"""Planning: for each recorded event, a delivery to each webhook that wants it, in the event's own transaction."""

from collections.abc import Sequence

from audit.models import AuditEvent
from jobs import doorbell
from webhooks.models import Webhook, WebhookDelivery

LANE = "webhooks"


def plan_deliveries(events: Sequence[AuditEvent]) -> None:
    """Create the deliveries of one workspace's new events and ring once they are committed.

    A disabled webhook's are created held: they wait for its recovery.
    """
    first = events[0]
    webhooks = list(Webhook.objects.hearing(first.workspace_id, first.company_id))
    deliveries = [_plan(event, webhook) for event in events for webhook in webhooks if webhook.wants(event)]
    if not deliveries:
        return
    WebhookDelivery.objects.bulk_create(deliveries)
    doorbell.ring_on_commit(LANE)


def _plan(event: AuditEvent, webhook: Webhook) -> WebhookDelivery:
    status = WebhookDelivery.Status.PENDING if webhook.enabled else WebhookDelivery.Status.HELD
    return WebhookDelivery(
        company_id=event.company_id,
        webhook=webhook,
        event=event,
        status=status,
        next_attempt_at=event.recorded_at if webhook.enabled else None,
        created_at=event.recorded_at,
    )
