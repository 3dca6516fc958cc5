"""The admin's pages of webhooks, of what their endpoints have shown, and of what was sent to them."""

from webhooks.admin.delivery import WebhookAttemptAdmin, WebhookDeliveryAdmin
from webhooks.admin.endpoint import EndpointAdmin, EndpointHourAdmin
from webhooks.admin.webhook import WebhookAdmin

__all__ = ["EndpointAdmin", "EndpointHourAdmin", "WebhookAdmin", "WebhookAttemptAdmin", "WebhookDeliveryAdmin"]
