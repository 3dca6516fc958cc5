from webhooks.models.attempt import WebhookAttempt
from webhooks.models.delivery import WebhookDelivery
from webhooks.models.endpoint import Endpoint, EndpointHour
from webhooks.models.webhook import Webhook

__all__ = ["Endpoint", "EndpointHour", "Webhook", "WebhookAttempt", "WebhookDelivery"]
