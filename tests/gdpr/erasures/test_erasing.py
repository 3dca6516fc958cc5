"""Erasing a person: what is replaced, what is noted of it, and what stays."""

from typing import Any

import pytest

from audit import erasing
from audit.models import AuditEvent
from gdpr.models import ErasedRow, Erasure
from jobs.models import Job
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.engine import ADA, ATTEMPTS, DELIVERIES, EVENTS, approved, declare, erased, run
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

OF_ADA: list[dict[str, Any]] = [
    {"actor": {"id": "ada"}},
    {"payload": {"list": [{"deep": "mail to <Ada@example.com>"}], "none": None}},
    {"metadata": {"ada": 1}},
    {"changes": [{"field": "owner", "old": "bob", "new": "ada"}]},
]


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)
    declare(monkeypatch, EVENTS, DELIVERIES, ATTEMPTS)


def of_others(**fields: Any) -> dict[str, Any]:
    return {"actor": {"id": "bob"}, "payload": {"text": "ada was here"}} | fields


def texts(events: Any) -> str:
    columns = ("actor", "target", "payload", "metadata", "changes", "context")
    return str([[getattr(event, column) for column in columns] for event in events])


def test_each_event_that_names_the_person_names_them_no_more(tenant: Tenant) -> None:
    events = tenant.record(*[draft(**of_others(**fields)) for fields in (*OF_ADA, {}, *OF_ADA)])
    erasure = erased(tenant.company)
    after = AuditEvent.objects.in_bulk([event.pk for event in events])
    assert not ADA.matches([[e.actor, e.target, e.payload, e.metadata, e.changes, e.context] for e in after.values()])
    assert erasure.pseudonym in texts(after.values())
    untouched = after[events[len(OF_ADA)].pk]
    assert (untouched.actor, untouched.actor_salt is None) == ({"id": "bob"}, False)
    assert erasure.counts == {"audit_auditevent": 2 * len(OF_ADA)}
    (record,) = erasing.records_of(tenant.company)
    assert erasing.erasure_of(record) == str(erasure.pk)
    assert len(list(erasing.listed_in(record))) == 2 * len(OF_ADA)


def test_it_forgets_the_person_and_tells_of_its_end_without_them(tenant: Tenant) -> None:
    tenant.record(draft(actor={"id": "ada"}))
    erasure = erased(tenant.company)
    assert (erasure.status, erasure.subject, erasure.key) == ("COMPLETED", None, "")
    assert erasure.certificate
    told = AuditEvent.objects.get(action="gdpr.erasure.completed")
    assert told.payload == {"erasureId": str(erasure.pk), "counts": {"audit_auditevent": 1}, "events": 1}
    assert erasure.job
    assert erasure.job.result == {"counts": {"audit_auditevent": 1}, "remaining": {}, "archives": 0}


def test_a_person_that_is_found_nowhere_is_erased_with_zero_counts(tenant: Tenant) -> None:
    tenant.record(draft(**of_others()))
    erasure = erased(tenant.company)
    assert (erasure.status, erasure.counts) == ("COMPLETED", {})
    assert not erasing.records_of(tenant.company).exists()


def test_what_the_chain_is_made_of_is_counted_as_remaining(tenant: Tenant) -> None:
    tenant.record(draft(action="ada", actor=None), draft(action="ada", actor={"id": "ada"}))
    erasure = erased(tenant.company)
    assert erasure.job
    assert erasure.job.result
    assert erasure.job.result["remaining"] == {"audit_auditevent.action": 2}
    assert erasure.counts == {"audit_auditevent": 1}


def test_what_follows_an_erased_event_is_emptied(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    mine, other = tenant.record(draft(actor={"id": "ada"}), draft(**of_others()))
    for event in (mine, other):
        delivery = WebhookDelivery.objects.get(event=event)
        WebhookAttempt.objects.create(
            company=tenant.company,
            delivery=delivery,
            number=1,
            url="https://example.com/",
            started_at=NOON,
            response_body="Hello, Countess!",
            error="refused by ada@example.com" if event is mine else "",
        )
    erasure = erased(tenant.company)
    after = WebhookAttempt.objects.get(delivery__event=mine)
    assert (after.response_body, after.error, after.url) == ("", erasure.pseudonym, "https://example.com/")
    assert WebhookAttempt.objects.get(delivery__event=other).response_body == "Hello, Countess!"
    assert erasure.counts == {"audit_auditevent": 1, "webhooks_webhookattempt": 1}
    assert not ErasedRow.objects.exists()


def test_an_erasure_that_was_rejected_meanwhile_does_nothing(tenant: Tenant) -> None:
    tenant.record(draft(actor={"id": "ada"}))
    erasure = approved(tenant.company)
    Erasure.objects.filter(pk=erasure.pk).update(status="REJECTED", rejected_at=NOON, rejection="No.", rejected_by="x")
    job = run(erasure)
    assert (job.status, erasure.status) == (Job.Status.COMPLETED, "REJECTED")
    assert ADA.matches(tenant.workspace.events.get().actor)
