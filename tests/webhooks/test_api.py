import re
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.test import Client

from audit.models import AuditEvent
from hyrelog.api import api as rest
from tests.api import Api
from tests.conftest import Tenant, draft
from tests.receiver import Receiver
from webhooks.delivering import Sender
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

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
        ({"url": 7}, "url", "must be a text"),
        ({"events": []}, "events", "at least 1"),
        ({"events": [""]}, "events[0]", "must not be empty"),
        ({"workspaceId": str(uuid.uuid4())}, "workspaceId", "no workspace of this company"),
        ({"secret": "mine"}, "secret", "is no field"),
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
    stages = WebhookAttempt.objects.get().timing
    assert attempt["timing"]["firstByte"] == round(stages["first_byte"], 1)
    assert attempt["timing"]["total"] == round(stages["total"], 1)
    assert attempt["timing"]["tls"] is None


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


def test_the_delivery_of_an_event_is_found(api: Api, tenant: Tenant, webhook: Webhook) -> None:
    _, wanted, _ = tenant.record(*[draft() for _ in range(3)])

    def listed(**filters: object) -> list[str]:
        shown = api.get(f"{WEBHOOKS}/{webhook.id}/deliveries", **filters).json()["deliveries"]
        return [delivery["eventId"] for delivery in shown]

    assert listed(eventId=wanted.id) == listed(eventId=wanted.id, status="PENDING") == [str(wanted.id)]
    assert listed(eventId=wanted.id, status="FAILED") == listed(eventId=uuid.uuid4()) == []
    assert api.get(f"{WEBHOOKS}/{webhook.id}/deliveries", eventId="x").status_code == 422


def test_every_route_and_every_field_of_webhooks_is_described(client: Client) -> None:
    schema = client.get("/v1/openapi.json").json()
    paths = {path: routes for path, routes in schema["paths"].items() if "/webhooks" in path or "/deliveries" in path}
    assert len(paths) == 11
    for path, routes in paths.items():
        for route in routes.values():
            assert route.get("description"), path
            in_query = [place for place in route.get("parameters", []) if place["in"] == "query"]
            assert [place["name"] for place in in_query if not place.get("description")] == [], path
    for name in ("WebhookIn", "Options", "Enabling", "Disabling", "Rotation", "RecoverIn", "ReplayIn"):
        fields = schema["components"]["schemas"][name]["properties"]
        assert [field for field in fields if not fields[field].get("description")] == [], name


def test_webhooks_are_listed_by_workspace_and_by_whether_they_are_enabled(api: Api, tenant: Tenant) -> None:
    whole = api.post(WEBHOOKS, {"url": URL}).json()["id"]
    part = api.post(WEBHOOKS, {"url": URL, "workspaceId": str(tenant.workspace.id)}).json()["id"]
    api.post(f"{WEBHOOKS}/{part}/disable")

    def listed(**filters: object) -> list[str]:
        return [webhook["id"] for webhook in api.get(WEBHOOKS, **filters).json()["webhooks"]]

    assert listed() == [part, whole]
    assert listed(workspaceId=tenant.workspace.id) == listed(enabled="false") == [part]
    assert listed(enabled="true") == [whole]
    assert listed(workspaceId=tenant.workspace.id, enabled="true") == listed(workspaceId=uuid.uuid4()) == []
    assert api.get(WEBHOOKS, enabled="maybe").status_code == 422
    assert api.get(WEBHOOKS, workspaceId="x").status_code == 422


def test_disabling_and_enabling_may_be_repeated_and_tell_the_company_once(api: Api, webhook: Webhook) -> None:
    address = f"{WEBHOOKS}/{webhook.id}"
    disabled = api.post(f"{address}/disable", {"reason": "under repair"})
    assert (disabled.status_code, disabled.json()["enabled"]) == (200, False)
    assert disabled.json()["disabledReason"] == "under repair"
    assert api.post(f"{address}/disable", {"reason": "another"}).json() == disabled.json()
    assert api.get(address).json() == disabled.json()
    enabled = api.post(f"{address}/enable")
    assert (enabled.status_code, enabled.json()["enabled"], enabled.json()["disabledReason"]) == (200, True, None)
    assert api.post(f"{address}/enable").json() == enabled.json()
    told = AuditEvent.objects.filter(category="hyrelog").order_by("seq")
    assert [(event.action, (event.payload or {}).get("reason")) for event in told] == [
        ("webhook.disabled", "under repair"),
        ("webhook.enabled", None),
    ]


@pytest.mark.parametrize("body", ["", "{}", "null"])
def test_disabling_needs_no_reason(api: Api, webhook: Webhook, body: str) -> None:
    answer = api.post(f"{WEBHOOKS}/{webhook.id}/disable", body)
    assert (answer.status_code, answer.json()["disabledReason"]) == (200, "disabled through the API")


@pytest.mark.parametrize("reason", ["", "x" * 501, "a\0b", 7, None])
def test_a_reason_is_a_short_text(api: Api, webhook: Webhook, reason: object) -> None:
    answer = api.post(f"{WEBHOOKS}/{webhook.id}/disable", {"reason": reason})
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "reason")
    assert api.get(f"{WEBHOOKS}/{webhook.id}").json()["enabled"] is True


@pytest.mark.parametrize("action", ["disable", "rotate-secret"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"7", b'{"why": 1}', b"\xff"])
def test_nonsense_is_refused_and_does_nothing(api: Api, webhook: Webhook, action: str, body: bytes) -> None:
    before = Webhook.objects.values().get()
    answer = api.post(f"{WEBHOOKS}/{webhook.id}/{action}", body)
    assert answer.status_code in (400, 422)
    assert answer.json().keys() >= {"error", "code"}
    assert Webhook.objects.values().get() == before


def test_foreign_and_missing_ids_answer_alike_and_nothing_happens(
    api: Api, other_api: Api, tenant: Tenant, webhook: Webhook
) -> None:
    tenant.record()
    delivery = WebhookDelivery.objects.get()
    before = [Webhook.objects.values().get(), WebhookDelivery.objects.values().get()]
    of_webhook, of_delivery = f"{WEBHOOKS}/{webhook.id}", f"/v1/key/company/deliveries/{delivery.id}"
    asked: list[tuple[Callable[..., Any], str]] = [
        (other_api.get, of_webhook),
        (other_api.delete, of_webhook),
        (partial(other_api.patch, body={"description": "mine"}), of_webhook),
        (partial(other_api.patch, body={}), of_webhook),
        (other_api.get, f"{of_webhook}/deliveries"),
        (other_api.post, f"{of_webhook}/enable"),
        (other_api.post, f"{of_webhook}/disable"),
        (other_api.post, f"{of_webhook}/rotate-secret"),
        (other_api.get, of_delivery),
        (other_api.post, f"{of_delivery}/redeliver"),
    ]
    for ask, url in asked:
        foreign = ask(url)
        missing = ask(url.replace(str(webhook.id), str(uuid.uuid4())).replace(str(delivery.id), str(uuid.uuid4())))
        assert (foreign.status_code, foreign.json()) == (404, missing.json())
    assert [Webhook.objects.values().get(), WebhookDelivery.objects.values().get()] == before
    assert other_api.get(WEBHOOKS).json()["webhooks"] == []
    assert other_api.get(WEBHOOKS, workspaceId=tenant.workspace.id).json()["webhooks"] == []
    assert api.get(of_webhook).status_code == api.get(of_delivery).status_code == 200


def test_a_deleted_webhook_is_gone_from_every_route(api: Api, webhook: Webhook) -> None:
    address = f"{WEBHOOKS}/{webhook.id}"
    api.delete(address)
    answers = [api.post(f"{address}/{action}") for action in ("enable", "disable", "rotate-secret")]
    answers += [api.patch(address, {}), api.get(f"{address}/deliveries")]
    assert [answer.status_code for answer in answers] == [404] * 5


def routes() -> list[tuple[str, str]]:
    paths = rest.get_openapi_schema()["paths"]
    ours = [path for path in paths if "/company/webhooks" in path or "/company/deliveries" in path]
    return [(method, path) for path in ours for method in paths[path]]


@pytest.mark.parametrize(("method", "path"), routes())
def test_a_workspace_s_key_reaches_no_route_of_webhooks(client: Client, tenant: Tenant, method: str, path: str) -> None:
    url = re.sub(r"\{\w+\}", str(uuid.uuid4()), path)
    answer = client.generic(method.upper(), url, headers={"x-hyrelog-key": tenant.workspace_key})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
    assert client.generic(method.upper(), url).status_code == 401


def test_every_route_of_webhooks_is_described() -> None:
    schema = rest.get_openapi_schema()
    for method, path in routes():
        described = schema["paths"][path][method]
        assert described["description"], path
        assert described["summary"] != described["operationId"].replace("_", " ").title(), path
    for name in ("WebhookIn", "Options", "Disabling", "Rotation"):
        properties = schema["components"]["schemas"][name]["properties"]
        assert [field for field, said in properties.items() if not said.get("description")] == []
    assert schema["components"]["schemas"]["WebhookIn"]["required"] == ["url"]
    assert not [said for said in schema["components"]["schemas"]["Options"]["properties"].values() if "default" in said]
