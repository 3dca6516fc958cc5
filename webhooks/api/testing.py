"""The route that tests a webhook."""

import uuid
from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from audit.api import limits
from audit.api.auth import company_key, key_of
from webhooks.api.webhooks import webhook_of
from webhooks.testing import send_test

router = Router()

TESTS_A_MINUTE = 10
"""Of one company. Each may hold a thread of the web process for 18 seconds."""


@router.post(
    "/key/company/webhooks/{uuid:webhook_id}/test", auth=company_key, response=dict[str, Any], summary="Test a webhook"
)
def test_webhook(request: HttpRequest, webhook_id: uuid.UUID) -> dict[str, Any]:
    """Sends a signed `webhook.test` now, to a disabled webhook too, and answers what came of it.

    The answer is 200 whatever the endpoint does: see `delivered`, and `error` for what to do. Ten a minute.
    """
    company, webhook = key_of(request).company, webhook_of(request, webhook_id)
    limits.spend(
        f"webhook-test:{company.pk}",
        most=TESTS_A_MINUTE,
        error=f"This company has tested webhooks {TESTS_A_MINUTE} times within a minute, which is the most.",
    )
    return send_test(webhook, now=timezone.now())
