"""Routes of webhooks and their deliveries."""

from ninja import Router

from webhooks.api import deliveries, webhooks

router = Router(tags=["webhooks"])
for part in (webhooks.router, deliveries.router):
    router.add_router("", part)
