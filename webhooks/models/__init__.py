from webhooks.models.attempt import WebhookAttempt
from webhooks.models.delivery import WebhookDelivery
from webhooks.models.webhook import Webhook

__all__ = ["Webhook", "WebhookAttempt", "WebhookDelivery"]
