"""Routes of exports (request, look, link, download) and of erasures (request, look)."""

from ninja import Router

from gdpr.api import downloads, erasures, exports, links

router = Router(tags=["gdpr"])
for part in (exports.router, links.router, downloads.router, erasures.router):
    router.add_router("", part)
