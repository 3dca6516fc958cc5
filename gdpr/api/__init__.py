"""Routes of exports: request, look, link, download."""

from ninja import Router

from gdpr.api import downloads, exports, links

router = Router(tags=["gdpr"])
for part in (exports.router, links.router, downloads.router):
    router.add_router("", part)
