"""Routes of webhooks and their deliveries."""

from ninja import Router

from webhooks.api import deliveries, recovering, testing, webhooks

router = Router(tags=["webhooks"])
for part in (webhooks.router, testing.router, recovering.router, deliveries.router):
    router.add_router("", part)
