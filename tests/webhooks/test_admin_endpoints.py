"""What the admin shows of endpoints and of what was sent to them, and what can be done about it there."""

import json
import re
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job
from tests.conftest import NOON, Tenant
from tests.receiver import Receiver
from webhooks.models import Endpoint, EndpointHour, Webhook, WebhookAttempt, WebhookDelivery

URL = "https://example.com/hook"


def page(view: str, *args: Any) -> str:
    return reverse(f"admin:webhooks_webhook_{view}", args=args)


def act(operator: Client, action: str, *webhooks: Webhook) -> str:
    chosen = {"action": action, "_selected_action": [webhook.pk for webhook in webhooks]}
    answer = operator.post(page("changelist"), chosen, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def test_a_test_is_sent_and_told_in_words(
    committed: None, operator: Client, tenant: Tenant, receiver: Receiver
) -> None:
    webhook, _ = Webhook.objects.register(company=tenant.company, url=receiver.url)
    receiver.status, receiver.body = 200, b"thanks"
    assert re.fullmatch(
        r"The endpoint answered 200 after \d+ ms: delivered. Its address: 127.0.0.1. The answer: thanks",
        act(operator, "send_test", webhook),
    )
    receiver.status = 500
    told = act(operator, "send_test", webhook)
    assert told.startswith("The test was not delivered.")
    assert "answered 500" in told
    assert [json.loads(request.body)["type"] for request in receiver.requests] == ["webhook.test"] * 2


def test_a_test_is_for_one_webhook_that_is_there(operator: Client, tenant: Tenant, receiver: Receiver) -> None:
    one, other = (Webhook.objects.register(company=tenant.company, url=receiver.url)[0] for _ in range(2))
    assert "Choose one webhook" in act(operator, "send_test", one, other)
    one.delete_softly(now=timezone.now())
    assert "Choose one webhook" in act(operator, "send_test", one)
    assert receiver.requests == []


def test_what_was_given_up_or_held_is_recovered_for_each_webhook_that_is_on(operator: Client, tenant: Tenant) -> None:
    on, off = (Webhook.objects.register(company=tenant.company, url=f"{URL}/{name}")[0] for name in ("on", "off"))
    off.disable(reason="x", now=timezone.now())
    told = act(operator, "recover", on, off)
    job = Job.objects.get(type="webhook.recover")
    assert job.payload["webhookId"] == str(on.pk)
    assert job.payload["statuses"] == ["FAILED", "HELD"]
    assert f"Job {job.id} recovers those of {on}." in told
    assert f"Not those of {off}: This webhook is disabled" in told


def test_a_webhook_shows_how_its_endpoint_fares(operator: Client, webhook: Webhook) -> None:
    Endpoint.objects.update(failures_in_a_row=7, failing_since=NOON, last_failure_at=NOON, slots=3)
    EndpointHour.objects.create(endpoint_id=webhook.pk, hour=timezone.now(), delivered=5, failed=2)
    for url in (page("changelist") + "?state=failing", page("change", webhook.pk)):
        text = operator.get(url).content.decode()
        assert [word for word in ("failing", ">7<", "5 / 2") if word not in text] == [], url
    assert [word for word in ("2026-01-31 12:00:00", "3 at the most; slow") if word not in text] == []
    Endpoint.objects.update(failing_since=None)
    assert operator.get(page("changelist"), {"state": "failing"}).context["cl"].result_count == 0


def test_an_attempt_is_shown_as_it_went_over_the_wire(operator: Client, tenant: Tenant, webhook: Webhook) -> None:
    tenant.record()
    delivery = WebhookDelivery.objects.get()
    attempt = WebhookAttempt.objects.create(
        company=tenant.company, delivery=delivery, number=1, result="failed", url=URL, started_at=NOON, http_status=500,
        request_headers={"webhook-id": "1", "Authorization": "***"}, response_headers={"x": "<b>"},
        response_body="<script>alert(1)</script>", timing={"dns": None, "connect": 1.25, "first_byte": 3.0, "total": 4},
    )  # fmt: skip
    shown = operator.get(reverse("admin:webhooks_webhookattempt_change", args=[attempt.pk])).content.decode()
    assert "<code>Authorization: ***</code><br><code>webhook-id: 1</code><br>" in shown
    assert "<code>x: &lt;b&gt;</code>" in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "connect 1.2 ms, first byte 3.0 ms, total 4.0 ms" in shown
    listed = operator.get(reverse("admin:webhooks_webhookdelivery_change", args=[delivery.pk])).content.decode()
    assert "connect 1.2 ms, first byte 3.0 ms, total 4.0 ms" in listed


def test_a_webhook_leads_to_its_deliveries(operator: Client, tenant: Tenant, webhook: Webhook) -> None:
    Webhook.objects.register(company=tenant.company, url=URL)
    tenant.record()
    listed = reverse("admin:webhooks_webhookdelivery_changelist") + f"?webhook__id__exact={webhook.pk}"
    assert f'href="{listed}"' in operator.get(page("change", webhook.pk)).content.decode()
    assert [row.webhook_id for row in operator.get(listed).context["cl"].result_list] == [webhook.pk]
