"""What the tests of the examples for receivers share."""

import uuid
from base64 import b64encode
from datetime import datetime

from django.utils import timezone

from hyrelog.dev.state import CHECKOUT
from tests.conftest import Tenant
from webhooks.rendering import render_request
from webhooks.sending.request import Request

EXAMPLES = CHECKOUT / "examples" / "receiving"
SECRET, OLD_SECRET, STRANGERS_SECRET = ("whsec_" + b64encode(letter * 32).decode() for letter in (b"n", b"o", b"s"))


def render(tenant: Tenant, *secrets: str, now: datetime | None = None, url: str = "https://example.com/") -> Request:
    """The request of a new event as a worker sends it, signed with each of the secrets."""
    (event,) = tenant.record()
    return render_request(
        event.as_json(),
        url=url,
        secrets=list(secrets),
        version=1,
        attempt=uuid.uuid4(),
        number=1,
        replay=False,
        added={},
        now=now or timezone.now(),
        timeout=15,
    )
