"""Erasing a person: what is replaced, what is noted of it, and what stays."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import connection

from audit import erasing
from audit.models import ApiKey, AuditEvent, IdempotencyRecord
from gdpr.erasures.metering import LOOKED
from gdpr.models import ErasedRow, Erasure
from gdpr.subjects import Subject
from jobs import context
from jobs.models import Job
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.engine import ADA, ATTEMPTS, BOB, EVENTS, approved, declare, erased, faults, run
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

OF_ADA: list[dict[str, Any]] = [
    {"actor": {"id": "ada"}},
    {"payload": {"list": [{"deep": "mail to <Ada@example.com>"}], "none": None}},
    {"metadata": {"ada": 1}},
    {"changes": [{"field": "owner", "old": "bob", "new": "ada"}]},
]
COLUMNS = ("actor", "target", "payload", "metadata", "changes", "context")


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


def of_others(**fields: Any) -> dict[str, Any]:
    return {"actor": {"id": "bob"}, "payload": {"text": "ada was here"}} | fields


def told_by(event: AuditEvent) -> list[Any]:
    return [getattr(event, column) for column in COLUMNS]


def attempt_at(event: AuditEvent, **fields: Any) -> WebhookAttempt:
    """An attempt to deliver an event, with what came back."""
    delivery = WebhookDelivery.objects.get(event=event)
    made = {"number": 1, "result": "failed", "url": "https://example.com/", "started_at": NOON, "http_status": 500}
    return WebhookAttempt.objects.create(company=event.company, delivery=delivery, **(made | fields))


def test_each_event_that_names_the_person_names_them_no_more(tenant: Tenant) -> None:
    events = tenant.record(*[draft(**of_others(**fields)) for fields in (*OF_ADA, {}, *OF_ADA)])
    erasure = erased(tenant.company)
    after = AuditEvent.objects.in_bulk([event.pk for event in events])
    assert not any(ADA.matches(told_by(event)) for event in after.values())
    untouched = after.pop(events[len(OF_ADA)].pk)
    assert (untouched.actor, untouched.actor_salt is None) == ({"id": "bob"}, False)
    assert all(erasure.pseudonym in str(told_by(event)) for event in after.values())
    assert erasure.counts == {"audit_auditevent": 2 * len(OF_ADA)}
    (record,) = erasing.records_of(tenant.company)
    assert erasing.erasure_of(record) == str(erasure.pk)
    assert {listed.event_id for listed in erasing.listed_in(record)} == {str(pk) for pk in after}
    assert faults(tenant.company) == []


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


def test_another_company_s_rows_stay_as_they_are(tenant: Tenant, other_tenant: Tenant) -> None:
    (mine,), (theirs,) = tenant.record(draft(actor={"id": "ada"})), other_tenant.record(draft(actor={"id": "ada"}))
    erased(tenant.company)
    assert AuditEvent.objects.get(pk=mine.pk).actor != {"id": "ada"}
    assert AuditEvent.objects.get(pk=theirs.pk).actor == {"id": "ada"}


def test_what_the_chain_is_made_of_is_counted_as_remaining(tenant: Tenant) -> None:
    tenant.record(draft(action="ada", actor=None), draft(action="ada", actor={"id": "ada"}))
    erasure = erased(tenant.company)
    assert erasure.job
    assert erasure.job.result
    assert erasure.job.result["remaining"] == {"audit_auditevent.action": 2}
    assert erasure.counts == {"audit_auditevent": 1}


def test_null_of_json_and_none_stay_what_they_were(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(actor={"id": "ada"}, payload={"n": None}))
    null = "SELECT payload::text, target IS NULL, metadata::text FROM audit_auditevent WHERE id = %s"
    with connection.cursor() as cursor:
        cursor.execute(null, [event.pk])
        before = cursor.fetchone()
        erased(tenant.company)
        cursor.execute(null, [event.pk])
        assert cursor.fetchone() == before == ('{"n": null}', True, None)


def test_what_follows_an_erased_event_is_emptied(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    mine, other = tenant.record(draft(actor={"id": "ada"}), draft(**of_others()))
    followed = attempt_at(mine, response_body="Hello, Countess!", error="refused by ada@example.com")
    untouched = attempt_at(other, response_body="Hello, Count!")
    erasure = erased(tenant.company)
    for attempt in (followed, untouched):
        attempt.refresh_from_db()
    assert (followed.response_body, followed.error, followed.url) == ("", "", "https://example.com/")
    assert untouched.response_body == "Hello, Count!"
    assert erasure.counts == {"audit_auditevent": 1, "webhooks_webhookattempt": 1}
    assert not ErasedRow.objects.exists()  # the event leads to them


def test_an_answer_that_names_the_person_is_erased_whatever_was_sent(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    (event,) = tenant.record(draft(**of_others()))
    attempt = attempt_at(event, response_body="ada@example.com does not exist")
    erasure = erased(tenant.company)
    attempt.refresh_from_db()
    assert attempt.response_body == ""
    (row,) = ErasedRow.objects.filter(erasure=erasure)
    assert (row.table, row.key, row.replaced) == ("webhooks_webhookattempt", str(attempt.pk), {})


def test_other_rows_are_noted_with_what_was_replaced(tenant: Tenant) -> None:
    webhook, _ = Webhook.objects.register(
        company=tenant.company, url="https://example.com/", description="For ada@example.com"
    )
    erasure = erased(tenant.company)
    webhook.refresh_from_db()
    assert webhook.description == erasure.pseudonym
    (row,) = ErasedRow.objects.filter(erasure=erasure)
    assert (row.table, row.key, row.replaced) == ("webhooks_webhook", str(webhook.pk), {"description": [0]})
    assert erasure.counts == {"webhooks_webhook": 1}


def test_what_must_differ_from_row_to_row_still_does(tenant: Tenant) -> None:
    places = [tenant.company.add_workspace(name=name) for name in ("ada@example.com", "of ada@example.com")]
    erasure = erased(tenant.company)
    names = tenant.company.workspaces.filter(pk__in=[place.pk for place in places]).values_list("name", flat=True)
    assert set(names) == {f"{erasure.pseudonym}-{place.pk}" for place in places}


def test_what_is_encrypted_is_opened_and_searched(tenant: Tenant) -> None:
    mine, other = (
        Webhook.objects.register(
            company=tenant.company, url="https://example.com/", headers={"X-Owner": f"{name}@example.com"}
        )[0]
        for name in ("ada", "bob")
    )
    before = other.encrypted_headers
    erased(tenant.company)
    for webhook in (mine, other):
        webhook.refresh_from_db()
    assert mine.encrypted_headers == ""
    assert mine.disabled_at
    assert (other.encrypted_headers, other.disabled_at) == (before, None)


def test_rows_that_go_as_a_whole_are_deleted(tenant: Tenant) -> None:
    for name in ("ada", "bob"):
        IdempotencyRecord.objects.create(
            company=tenant.company,
            api_key=ApiKey.objects.filter(company=tenant.company)[0],
            route="/",
            key=name,
            fingerprint="0" * 64,
            created_at=NOON,
        )
    erasure = erased(tenant.company)
    assert IdempotencyRecord.objects.get().key == "bob"
    assert erasure.counts == {"audit_idempotencyrecord": 1}


def test_the_same_events_can_be_erased_of_two_people(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(actor={"id": "ada"}, target={"type": "user", "id": "bob"}, payload={"a": "ada"}))
    first, second = erased(tenant.company, ADA), erased(tenant.company, BOB)
    event.refresh_from_db()
    assert not any(person.matches(told_by(event)) for person in (ADA, BOB))
    assert all(erasure.pseudonym in str(told_by(event)) for erasure in (first, second))
    assert faults(tenant.company) == []


def test_records_of_erasures_are_never_touched(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(actor={"id": "ada"}))
    first = erased(tenant.company)
    record = erasing.records_of(tenant.company).get()
    named = Subject(actor_ids=(str(event.pk), str(first.pk)))
    second = erased(tenant.company, named)
    assert erasing.records_of(tenant.company).get(pk=record.pk).payload == record.payload
    assert second.status == "COMPLETED"
    assert faults(tenant.company) == []


def test_an_erasure_that_was_rejected_meanwhile_does_nothing(tenant: Tenant) -> None:
    tenant.record(draft(actor={"id": "ada"}))
    erasure = approved(tenant.company)
    Erasure.objects.filter(pk=erasure.pk).update(status="REJECTED", rejected_at=NOON, rejection="No.", rejected_by="x")
    job = run(erasure)
    assert (job.status, erasure.status) == (Job.Status.COMPLETED, "REJECTED")
    assert ADA.matches(tenant.workspace.events.get().actor)


def test_one_whose_settling_alone_was_lost_does_nothing_more(tenant: Tenant) -> None:
    tenant.record(draft(actor={"id": "ada"}))
    erasure = erased(tenant.company)
    assert erasure.job
    Job.objects.filter(pk=erasure.job.pk).update(status="PENDING", completed_at=None)
    events = AuditEvent.objects.count()
    job = run(erasure)
    assert (job.status, job.result) == (Job.Status.COMPLETED, {"counts": {"audit_auditevent": 1}})
    assert AuditEvent.objects.count() == events


def test_it_tells_how_far_it_is(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LOOK_EVERY", 0.0)
    seen: list[tuple[str, float]] = []
    telling = replace(ATTEMPTS, then=lambda _, __: seen.extend(Job.objects.values_list("step", "progress")))
    declare(monkeypatch, EVENTS, telling)
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    (event,) = tenant.record(draft(**of_others()))
    attempt_at(event, response_body="ada@example.com does not exist")
    erasure = erased(tenant.company)
    ((step, progress),) = seen
    assert step == "audit_auditevent"
    assert 0 < progress < LOOKED
    assert erasure.job
    assert erasure.job.progress == 1
