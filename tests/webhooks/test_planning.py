from typing import Any

import pytest
from django.db import IntegrityError, transaction

from tests.conftest import NOON, Tenant, draft
from webhooks.matching import matches
from webhooks.models import Webhook, WebhookDelivery
from webhooks.models.webhook import MOST, TooManyWebhooks

URL = "https://example.com/hook"


def planned(webhook: Webhook) -> list[str]:
    return list(webhook.deliveries.order_by("event__seq").values_list("event__action", flat=True))


def register(tenant: Tenant, **fields: object) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url=URL, **fields)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("patterns", "text", "expected"),
    [
        (["*"], "anything", True),
        (["user.*"], "user.login", True),
        (["user.*"], "superuser.login", False),
        (["user.*"], "user", False),
        (["*.login"], "user.login", True),
        (["u*r.l*n"], "user.login", True),
        (["user.login"], "user_login", False),
        (["a", "b"], "b", True),
        (["["], "[", True),
        (["USER.*"], "user.login", False),
        (["**"], "x\ny", True),
        (["a*a"], "a", False),
        (["ab*ba"], "aba", False),
        (["*a*b*"], "xaxbx", True),
        (["*b*a"], "xaxbx", False),
        (["*" + "a*" * 99 + "b"], "a" * 200, False),  # hopeless for a pattern matcher that tries and tries again
        ([], "x", False),
    ],
)
def test_patterns(patterns: list[str], text: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(patterns, text) is expected


def test_every_webhook_that_wants_an_event_gets_one_delivery(tenant: Tenant) -> None:
    everything = register(tenant)
    logins = register(tenant, events=["user.login"])
    money = register(tenant, categories=["billing"])
    tenant.record(draft(), draft(action="user.logout"), draft(action="invoice.paid", category="billing"))
    assert planned(everything) == ["user.login", "user.logout", "invoice.paid"]
    assert planned(logins) == ["user.login"]
    assert planned(money) == ["invoice.paid"]


def test_a_thousand_events_for_three_webhooks_are_a_handful_of_statements(
    tenant: Tenant, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        register(tenant)
    with django_assert_max_num_queries(12):
        tenant.record(*[draft() for _ in range(1000)])
    assert WebhookDelivery.objects.count() == 3000


def test_a_company_has_a_hundred_webhooks_at_the_most(tenant: Tenant, other_tenant: Tenant) -> None:
    for _ in range(MOST):
        register(tenant)
    with pytest.raises(TooManyWebhooks, match="100 webhooks"):
        register(tenant)
    register(other_tenant)


def test_a_workspace_s_webhook_hears_only_that_workspace(tenant: Tenant) -> None:
    other = tenant.company.add_workspace(name="staging")
    mine, its = register(tenant, workspace=tenant.workspace), register(tenant, workspace=other)
    tenant.record()
    assert (len(planned(mine)), len(planned(its))) == (1, 0)


def test_another_company_s_webhook_hears_nothing(tenant: Tenant, other_tenant: Tenant) -> None:
    foreign = register(other_tenant)
    tenant.record()
    assert planned(foreign) == []


def test_deliveries_are_due_at_once(tenant: Tenant) -> None:
    webhook = register(tenant)
    tenant.record()
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.next_attempt_at, delivery.attempt) == ("PENDING", NOON, 0)


def test_a_disabled_webhook_s_deliveries_are_held_and_a_deleted_one_s_are_not_made(tenant: Tenant) -> None:
    disabled, deleted = register(tenant), register(tenant)
    deleted.delete_softly(now=NOON)
    disabled.disable(reason="test", now=NOON)
    tenant.record()
    assert [d.status for d in disabled.deliveries.filter(event__action="user.login")] == ["HELD"]
    assert planned(deleted) == []


def test_the_deliveries_go_with_the_transaction_of_the_event(tenant: Tenant) -> None:
    webhook = register(tenant)

    with transaction.atomic():
        tenant.record()
        transaction.set_rollback(True)
    assert planned(webhook) == []


@pytest.mark.parametrize("status", ["SENDING", "SUCCESS", "HELD", "CANCELLED"])
def test_the_database_refuses_a_due_time_in_a_state_that_cannot_be_due(tenant: Tenant, status: str) -> None:
    register(tenant)
    tenant.record()
    with pytest.raises(IntegrityError, match="delivery_"), transaction.atomic():
        WebhookDelivery.objects.update(status=status)


def test_deleting_a_webhook_cancels_what_waits_and_forgets_its_secret(tenant: Tenant) -> None:
    webhook = register(tenant)
    tenant.record()
    assert webhook.delete_softly(now=NOON)
    assert not webhook.delete_softly(now=NOON)
    webhook.refresh_from_db()
    assert webhook.encrypted_secret == ""
    assert webhook.deliveries.get().status == "CANCELLED"
