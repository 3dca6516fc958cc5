"""The admin, page by page, as an operator opens it."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import ApiKey, AuditEvent, Company, Workspace
from gdpr.models import DownloadAccess, DownloadLink, ExportArchive, PrivacyNotice
from gdpr.requesting import request_export
from jobs.leases import ProcessLease
from jobs.models import Job, Tick
from tests.conftest import NOON, Tenant, draft
from tests.receiver import Receiver
from webhooks.models import Webhook, WebhookDelivery

OURS = ("audit", "jobs", "webhooks", "gdpr")
MODELS = [model for label in OURS for model in apps.get_app_config(label).get_models()]


@pytest.fixture
def populated(tenant: Tenant, lease: ProcessLease, receiver: Receiver) -> Tenant:
    """A row in every table."""
    _ = lease.process_id
    Tick.objects.claim(name="sweep", period=60)
    asked, _ = request_export(company=tenant.company, scope="company", requested_by="a test", now=NOON)
    key = ApiKey.objects.matching(tenant.company_key).get()
    job = asked.job
    archive = ExportArchive.objects.create(
        company=tenant.company, job=job, scope="company", file="x", size=1, sha256="0" * 64, counts={},
        created_at=timezone.now(), expires_at=timezone.now(),
    )  # fmt: skip
    link, _ = DownloadLink.objects.issue(archive=archive, issued_by=str(key), api_key=key, now=timezone.now())
    DownloadAccess.objects.create(company=tenant.company, link=link, at=NOON, start=0, end=1)
    PrivacyNotice.objects.create(company=tenant.company)
    Webhook.objects.register(company=tenant.company, url=receiver.url)
    tenant.record(draft(payload={"html": "<script>alert(1)</script>"}))
    return tenant


def page(model: Any, view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


def act(operator: Client, model: Any, action: str) -> str:
    chosen = list(model.objects.values_list("pk", flat=True))
    data = {"action": action, "_selected_action": chosen, "confirmed": "yes"}
    answer = operator.post(page(model, "changelist"), data, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def test_every_model_is_registered() -> None:
    assert [model for model in MODELS if not admin.site.is_registered(model)] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_list_can_be_searched_and_every_row_opened(operator: Client, populated: Tenant, model: Any) -> None:
    listed = operator.get(page(model, "changelist"))
    assert listed.status_code == 200
    assert operator.get(page(model, "changelist"), {"q": "x"}).status_code == 200
    for row in model.objects.all():
        shown = operator.get(page(model, "change", row.pk))
        assert shown.status_code == 200
        assert b"<script>alert(1)" not in shown.content


@pytest.mark.parametrize("model", [AuditEvent, WebhookDelivery, Job], ids=lambda model: model.__name__)
def test_what_the_program_writes_cannot_be_edited_added_or_deleted(
    operator: Client, populated: Tenant, model: Any
) -> None:
    row = model.objects.first()
    assert operator.post(page(model, "change", row.pk), {"action": "forged"}).status_code == 403
    assert operator.get(page(model, "add")).status_code == 403
    assert operator.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_secrets_stand_on_no_page(operator: Client, populated: Tenant) -> None:
    webhook, event = Webhook.objects.get(), AuditEvent.objects.filter(action="user.login").get()
    key, link = ApiKey.objects.matching(populated.company_key).get(), DownloadLink.objects.get()
    secrets = [webhook.secret, webhook.encrypted_secret, key.digest, link.digest, event.actor_salt, event.content_salt]
    for model in MODELS:
        pages = [
            page(model, "changelist"),
            *(page(model, "change", pk) for pk in model._default_manager.values_list("pk", flat=True)),
        ]
        for url in pages:
            text = operator.get(url).content.decode()
            assert not [secret for secret in secrets if secret and secret in text], url


def test_a_new_key_and_a_new_webhook_show_their_secret_once(operator: Client, tenant: Tenant) -> None:
    company = {"company": str(tenant.company.pk), "workspace": ""}
    added = operator.post(page(ApiKey, "add"), {"name": "CI", "allowed_networks": "[]", **company}, follow=True)
    assert b"hlk_" in added.content
    key = ApiKey.objects.get(name="CI")
    assert (key.company, key.workspace) == (tenant.company, None)
    assert operator.get(page(ApiKey, "change", key.pk)).status_code == 200

    fields = {"url": "https://example.com/", "events": '["user.*"]', "categories": '["*"]', "description": ""}
    added = operator.post(page(Webhook, "add"), fields | company, follow=True)
    webhook = Webhook.objects.get()
    assert webhook.secret in added.content.decode().replace("&#x3D;", "=").replace("&#x2B;", "+")
    assert webhook.events == ["user.*"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://10.0.0.1/"),
        ("url", "gopher://example.com/"),
        ("events", "[]"),
        ("events", '"*"'),
        ("categories", "x"),
    ],
)
def test_the_admin_refuses_a_webhook_that_the_api_would_refuse(
    operator: Client, tenant: Tenant, field: str, value: str
) -> None:
    fields = {"company": str(tenant.company.pk), "workspace": "", "url": "https://example.com/", "events": '["*"]',
              "categories": '["*"]', "description": ""}  # fmt: skip
    answer = operator.post(page(Webhook, "add"), fields | {field: value})
    assert field in answer.context["adminform"].form.errors
    assert not Webhook.objects.exists()


def test_a_company_made_here_has_its_system_workspace_and_a_workspace_its_chain(operator: Client, db: None) -> None:
    inline = {"workspaces-TOTAL_FORMS": "0", "workspaces-INITIAL_FORMS": "0"}
    operator.post(page(Company, "add"), {"name": "Initech", "contact_email": "", **inline})
    company = Company.objects.get()
    operator.post(page(Workspace, "add"), {"name": "production", "company": str(company.pk)})
    assert {workspace.name: workspace.chain_head.seq for workspace in company.workspaces.all()} == {
        "system": 0,
        "production": 0,
    }


def test_a_deleted_webhook_is_shown_as_such_and_cannot_be_changed(operator: Client, populated: Tenant) -> None:
    webhook = Webhook.objects.get()
    webhook.delete_softly(now=timezone.now())
    assert b"deleted" in operator.get(page(Webhook, "changelist")).content
    assert operator.post(page(Webhook, "change", webhook.pk), {"url": "https://example.com/"}).status_code == 403


def test_what_is_held_is_not_redelivered_but_enabled(operator: Client, populated: Tenant) -> None:
    act(operator, Webhook, "disable")
    WebhookDelivery.objects.update(status="HELD", next_attempt_at=None)
    assert "0 deliveries are due again" in act(operator, WebhookDelivery, "redeliver")


def test_deliveries_are_redelivered_and_cancelled(committed: None, operator: Client, populated: Tenant) -> None:
    assert "0 deliveries are due again" in act(operator, WebhookDelivery, "redeliver")
    assert "1 deliveries were cancelled" in act(operator, WebhookDelivery, "cancel")
    assert "1 deliveries are due again" in act(operator, WebhookDelivery, "redeliver")
    assert WebhookDelivery.objects.get().status == "PENDING"


def test_jobs_are_cancelled_and_retried(committed: None, operator: Client, populated: Tenant) -> None:
    assert "1 jobs were cancelled" in act(operator, Job, "cancel")
    assert "1 jobs are due again" in act(operator, Job, "retry")
    assert Job.objects.get().status == "PENDING"


def test_keys_links_webhooks_and_companies_can_be_ended(operator: Client, populated: Tenant) -> None:
    assert "1 links were revoked" in act(operator, DownloadLink, "revoke")
    assert "1 webhooks were disabled" in act(operator, Webhook, "disable")
    assert "1 webhooks were enabled; 1 held deliveries become due" in act(operator, Webhook, "enable")
    assert "0 webhooks were enabled" in act(operator, Webhook, "enable")
    assert "1 webhooks were disabled" in act(operator, Webhook, "disable")
    assert "2 keys were revoked" in act(operator, ApiKey, "revoke")
    assert "1 companies were closed" in act(operator, Company, "close")
    assert Webhook.objects.get().disabled_reason == "disabled in the admin by op"


def test_who_may_only_look_is_offered_no_action(client: Client, populated: Tenant) -> None:
    viewer = get_user_model().objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    for model in (WebhookDelivery, Job, DownloadLink, ApiKey, Webhook):
        assert client.get(page(model, "changelist")).context["action_form"] is None
    client.post(page(Job, "changelist"), {"action": "cancel", "_selected_action": [str(Job.objects.get().pk)]})
    assert Job.objects.get().status == "PENDING"
