"""What an archive says of the processing (Art. 15(1) GDPR) and of its fields."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from audit.models import Company
from audit.personal_data import covered
from gdpr.describing import context_of, fields
from gdpr.models import PrivacyNotice
from gdpr.models.privacy_notice import TEXTS
from gdpr.subjects import Subject
from jobs.enqueueing import enqueue
from jobs.models import Job
from tests.conftest import NOON, Tenant
from webhooks.models import Webhook

SAID = {
    "controller": "controller",
    "contact": "contact",
    "purposes": "purposes",
    "sources": "sources",
    "retention": "retention",
    "furtherRecipients": "recipients",
    "transfers": "transfers",
    "automatedDecisions": "automated_decisions",
}
"""What of the context each text of a notice is."""


def context(company: Company) -> dict[str, Any]:
    written = context_of(company, scope="company", subject=None, now=NOON)
    read: dict[str, Any] = json.loads(json.dumps(written))
    return read


def recipients(company: Company, kind: str) -> list[dict[str, Any]]:
    return [one for one in context(company)["recipients"] if one["kind"] == kind]


def test_the_context_has_all_that_article_15_asks_for(tenant: Tenant) -> None:
    said = context(tenant.company)
    assert {*SAID, "categories", "recipients", "rights"} <= said.keys()
    assert {right["right"] for right in said["rights"]} == {
        "rectification",
        "erasure",
        "restriction",
        "objection",
        "complaint",
    }
    assert said["company"] == {"id": str(tenant.company.pk), "name": "Acme"}
    assert said["writtenAt"] == "2026-01-31T12:00:00.000000Z"


def test_the_context_names_the_person(tenant: Tenant) -> None:
    subject = Subject(actor_ids=("u1",), emails=("ada@example.com",))
    said = context_of(tenant.company, scope="subject", subject=subject, now=NOON)
    assert (said["scope"], said["subject"]) == ("subject", {"actorId": ["u1"], "email": ["ada@example.com"]})


def test_what_the_company_wrote_comes_first(tenant: Tenant) -> None:
    written = {name: f"The {name} of Acme." for name in TEXTS}
    PrivacyNotice.objects.create(company=tenant.company, **written)
    said = context(tenant.company)
    assert sorted(SAID.values()) == sorted(TEXTS)
    for name, text in SAID.items():
        assert (said[name]["statement"], said[name]["saidBy"]) == (written[text], "the company")


def test_what_the_company_did_not_write_is_said_plainly(tenant: Tenant) -> None:
    PrivacyNotice.objects.create(company=tenant.company, purposes=" \n")
    said = context(tenant.company)
    for name in SAID.keys() - {"transfers"}:
        assert "Acme has not said" in said[name]["statement"] or "It has not said" in said[name]["statement"], name
        assert said[name]["saidBy"] == "HyreLog"
    assert "It does not know in which countries" in said["transfers"]["statement"]


def test_the_contact_address_stands_in_where_the_notice_names_none(tenant: Tenant) -> None:
    Company.objects.filter(pk=tenant.company.pk).update(contact_email="privacy@acme.example")
    tenant.company.refresh_from_db()
    assert context(tenant.company)["contact"] == {"statement": "privacy@acme.example", "saidBy": "the company"}
    [mailbox] = recipients(tenant.company, "e-mail")
    assert mailbox["destination"] == "privacy@acme.example"


def test_retention_is_told_of_each_table_as_the_settings_decide(tenant: Tenant) -> None:
    kept = context(tenant.company)["retention"]["tables"]
    assert kept.keys() == {table.table for table in covered()}
    days = f"{settings.WEBHOOK_ATTEMPT_RETENTION_DAYS} days (WEBHOOK_ATTEMPT_RETENTION_DAYS)"
    assert kept["webhooks_webhookattempt"] == days


def test_webhooks_of_the_past_are_recipients_too_without_their_tokens(tenant: Tenant, other_tenant: Tenant) -> None:
    Webhook.objects.register(company=other_tenant.company, url="https://globex.example.com/")
    Webhook.objects.register(
        company=tenant.company,
        url="https://hooks.example.com:8443/services/T0KEN?key=T0KEN",
        description="The warehouse",
        events=["user.*", "order.paid"],
        categories=["auth"],
        workspace=tenant.workspace,
    )
    past, _ = Webhook.objects.register(company=tenant.company, url="https://old.example.com/")
    ended = past.created_at + timedelta(days=1)
    past.delete_softly(now=ended)
    now, then = recipients(tenant.company, "webhook")
    assert (now["name"], now["destination"], now["until"]) == ("The warehouse", "https://hooks.example.com:8443", None)
    assert now["receives"] == (
        "the events whose action is user.*, order.paid of the workspace production, of the category auth"
    )
    assert (then["destination"], then["receives"]) == ("https://old.example.com", "all events of all workspaces")
    assert then["until"] == ended.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert "T0KEN" not in json.dumps(context(tenant.company))
    hosts = context(tenant.company)["transfers"]["destinations"]
    assert hosts == ["https://hooks.example.com:8443", "https://old.example.com"]


def test_a_webhook_whose_address_no_rule_allows_any_more_stops_no_export(tenant: Tenant) -> None:
    webhook, _ = Webhook.objects.register(company=tenant.company, url="https://hooks.example.com/")
    Webhook.objects.filter(pk=webhook.pk).update(url="gopher://user:T0KEN@old")
    [told] = recipients(tenant.company, "webhook")
    assert told["destination"] == "an address that HyreLog no longer sends to"


def test_hosts_that_jobs_sent_requests_to_are_recipients(tenant: Tenant) -> None:
    for path in ("a?token=T0KEN", "b"):
        payload = {"method": "POST", "url": f"https://api.example.com/{path}", "json": {"email": "ada@example.com"}}
        enqueue("http.request", payload, company=tenant.company, now=NOON)
    source = {"url": "https://read.example.com/"}
    Job.objects.create(
        company=tenant.company, type="data.process", queue="jobs", payload=source, run_at=NOON, max_attempts=1
    )
    [told] = recipients(tenant.company, "request")
    assert told["destination"] == "https://api.example.com"
    assert "T0KEN" not in json.dumps(context(tenant.company))


def test_whoever_runs_hyrelog_is_a_recipient(tenant: Tenant) -> None:
    [processor] = recipients(tenant.company, "processor")
    assert "on behalf of the company" in processor["name"]


def test_fields_tell_each_table_and_column() -> None:
    said = json.loads(json.dumps(fields()))
    assert said.keys() == {table.table for table in covered()}
    event = said["audit_auditevent"]
    assert event.keys() == {"meaning", "kept", "columns", "redacted"}
    assert "Who did it" in event["columns"]["actor"]
    assert said["audit_apikey"]["redacted"].keys() == {"digest"}
    assert not said["audit_apikey"]["columns"].keys() & said["audit_apikey"]["redacted"].keys()


@pytest.mark.parametrize("name", sorted(fields()))
def test_meanings_are_sentences(name: str) -> None:
    said = fields()[name]
    for text in (said["meaning"], *said["columns"].values(), *said["redacted"].values()):
        assert text[0].isupper(), text
        assert text.endswith("."), text
