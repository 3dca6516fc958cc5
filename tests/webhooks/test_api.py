import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.api import Api
from tests.conftest import Tenant, draft
from tests.receiver import Receiver
from webhooks.delivering import Sender
from webhooks.models import Webhook, WebhookDelivery

WEBHOOKS = "/v1/key/company/webhooks"
URL = "https://example.com/hook"


def test_a_webhook_s_secret_is_shown_when_it_is_made_and_never_again(api: Api) -> None:
    answer = api.post(WEBHOOKS, {"url": URL, "events": ["user.*"], "description": "CRM"})
    assert answer.status_code == 201
    made = answer.json()
    secret = made.pop("secret")
    webhook = Webhook.objects.get()
    assert (webhook.secret, secret[:6]) == (secret, "whsec_")
    assert secret not in webhook.encrypted_secret
    assert api.get(f"{WEBHOOKS}/{made['id']}").json() == made
    assert api.get(WEBHOOKS).json() == {"webhooks": [made], "nextCursor": None}
    assert made["url"] == URL
    assert (made["events"], made["categories"], made["workspaceId"]) == (["user.*"], ["*"], None)
    assert made["enabled"] is True


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"url": "ftp://example.com/"}, "url", "ftp"),
        ({"url": "https://user:pass@example.com/"}, "url", "user name or password"),
        ({"url": "https://169.254.169.254/"}, "url", "169.254.169.254"),
        ({"url": "https://"}, "url", ""),
        ({"url": "https://example.com/\r\nx: y"}, "url", ""),
        ({"url": 7}, "url", "string"),
        ({"events": []}, "events", "at least 1"),
        ({"events": [""]}, "events[0]", "at least 1"),
        ({"workspaceId": str(uuid.uuid4())}, "workspaceId", "no workspace of this company"),
        ({"secret": "mine"}, "secret", "not permitted"),
    ],
)
def test_bad_input_names_the_field_and_the_rule(api: Api, change: dict[str, Any], field: str, rule: str) -> None:
    answer = api.post(WEBHOOKS, {"url": URL} | change)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == field
    assert rule in answer.json()["details"][0]["rule"]
    assert not Webhook.objects.exists()


def test_a_foreign_workspace_is_no_workspace_of_this_company(api: Api, other_tenant: Tenant) -> None:
    answer = api.post(WEBHOOKS, {"url": URL, "workspaceId": str(other_tenant.workspace.id)})
    assert answer.status_code == 422


def test_deleting_a_webhook_ends_it(api: Api) -> None:
    made = api.post(WEBHOOKS, {"url": URL}).json()
    assert api.delete(f"{WEBHOOKS}/{made['id']}").status_code == 204
    assert api.get(f"{WEBHOOKS}/{made['id']}").status_code == 404
    assert api.delete(f"{WEBHOOKS}/{made['id']}").status_code == 404
    assert api.get(WEBHOOKS).json()["webhooks"] == []


def test_a_delivery_shows_every_attempt(
    api: Api, tenant: Tenant, webhook: Webhook, receiver: Receiver, sender: Callable[..., Sender]
) -> None:
    receiver.status, receiver.body = 500, b"oops"
    tenant.record()
    sender().run()
    (listed,) = api.get(f"{WEBHOOKS}/{webhook.id}/deliveries").json()["deliveries"]
    assert (listed["status"], listed["attempts"]) == ("FAILED", 1)
    shown = api.get(f"/v1/key/company/deliveries/{listed['id']}").json()
    (attempt,) = shown.pop("attemptLog")
    assert shown == listed
    assert (attempt["result"], attempt["status"], attempt["responseBody"]) == ("failed", 500, "oops")
    assert "500" in attempt["error"]


def test_deliveries_are_listed_by_status(api: Api, tenant: Tenant, webhook: Webhook) -> None:
    tenant.record(*[draft() for _ in range(4)])
    one, two, three, _ = WebhookDelivery.objects.order_by("id")
    WebhookDelivery.objects.filter(pk=one.pk).update(status="FAILED")
    WebhookDelivery.objects.filter(pk=two.pk).update(status="FAILED", next_attempt_at=None)
    WebhookDelivery.objects.filter(pk=three.pk).update(status="SUCCESS", next_attempt_at=None)

    def listed(status: str) -> set[str]:
        body = api.get(f"{WEBHOOKS}/{webhook.id}/deliveries", status=status).json()
        return {delivery["id"] for delivery in body["deliveries"]}

    assert listed("RETRYING") == {str(one.id)}
    assert listed("FAILED") == {str(one.id), str(two.id)}
    assert listed("SUCCESS") == {str(three.id)}
    assert len(listed("PENDING")) == 1
    assert api.get(f"{WEBHOOKS}/{webhook.id}/deliveries", status="LATE").status_code == 422


def test_foreign_and_missing_ids_answer_alike(api: Api, other_api: Api, tenant: Tenant, webhook: Webhook) -> None:
    tenant.record()
    delivery = WebhookDelivery.objects.get()
    for url, missing in [
        (f"{WEBHOOKS}/{webhook.id}", f"{WEBHOOKS}/{uuid.uuid4()}"),
        (f"{WEBHOOKS}/{webhook.id}/deliveries", f"{WEBHOOKS}/{uuid.uuid4()}/deliveries"),
        (f"/v1/key/company/deliveries/{delivery.id}", f"/v1/key/company/deliveries/{uuid.uuid4()}"),
    ]:
        assert api.get(url).status_code == 200
        foreign, absent = other_api.get(url), other_api.get(missing)
        assert (foreign.status_code, foreign.json()) == (404, absent.json())
    assert other_api.delete(f"{WEBHOOKS}/{webhook.id}").status_code == 404
    assert other_api.get(WEBHOOKS).json()["webhooks"] == []
