"""The tenants' API: the routes of every room under /v1, its errors in one form, its description at /docs."""

from ninja import NinjaAPI

from audit.api import errors, events, signing_keys
from audit.api.body import StrictParser
from gdpr import api as gdpr
from jobs import api as jobs
from jobs.streaming import api as streaming
from webhooks import api as webhooks

api = NinjaAPI(
    title="HyreLog",
    version="1",
    description="Audit events in a hash chain, signed webhooks, GDPR exports and erasures.",
    openapi_url="/openapi.json",
    docs_url=None,  # served at /docs
    parser=StrictParser(),
)
errors.install(api)
for router in (events.router, webhooks.router, streaming.router, jobs.router, gdpr.router, signing_keys.router):
    api.add_router("", router)
