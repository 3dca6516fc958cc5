"""Routes of webhooks and their deliveries."""

from ninja import Router

from webhooks.api import deliveries, testing, webhooks

router = Router(tags=["webhooks"])
for part in (webhooks.router, testing.router, deliveries.router):
    router.add_router("", part)
