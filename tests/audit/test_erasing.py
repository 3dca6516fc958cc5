"""Erasing parts of events: what is kept, what is recorded, and what the database refuses."""

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from audit import chain, erasing
from audit.erasing import Replacement
from audit.models import AuditEvent
from tests.conftest import NOON, Tenant, draft

REQUEST = uuid.UUID(int=7)
ERASED = {"id": "erased-1", "email": "erased-1"}


def replace(tenant: Tenant, event: AuditEvent, **values: Any) -> AuditEvent:
    """Erase so much of an event; returns the record."""
    event.refresh_from_db()
    replacement = Replacement(event, values, {column: [2] for column in values})
    return erasing.erase(company=tenant.company, erasure_id=REQUEST, replacements=[replacement], now=NOON)


def test_an_erasure_replaces_a_part_and_keeps_what_the_chain_is_made_of(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload={"plan": "pro"}))
    record = replace(tenant, event, actor=ERASED)
    erased = AuditEvent.objects.get(pk=event.pk)
    assert erased.actor == ERASED
    assert (erased.actor_salt, erased.actor_erased_by) == (None, record.pk)
    assert (erased.content_salt, erased.content_erased_by) == (event.content_salt, None)
    assert (erased.actor_commitment, erased.hash) == (event.actor_commitment, event.hash)
    assert erased.compute_hash() == erased.hash
    assert erased.payload == {"plan": "pro"}


def test_the_record_names_the_event_and_the_fresh_commitment(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload={"plan": "pro"}))
    record = replace(tenant, event, actor=ERASED, payload={"plan": "erased-1"})
    erased = AuditEvent.objects.get(pk=event.pk)
    record.refresh_from_db()
    assert (record.workspace, record.category, record.action) == (
        tenant.company.system_workspace,
        "hyrelog",
        "gdpr.erased",
    )
    assert erasing.is_record(record)
    assert erasing.erasure_of(record) == str(REQUEST)
    (listed,) = erasing.listed_in(record)
    assert listed.event_id == str(event.pk)
    assert listed.replaced == {"actor": [2], "payload": [2]}
    assert listed.commitments == {
        "actor": chain.commitment(erased.actor_fresh_salt or "", erased.actor),
        "content": chain.commitment(erased.content_fresh_salt or "", erased.content),
    }


def test_a_part_can_be_erased_again(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload={"a": "x", "b": "y"}))
    first = replace(tenant, event, payload={"a": "erased-1", "b": "y"})
    salt = AuditEvent.objects.get(pk=event.pk).content_fresh_salt
    second = replace(tenant, event, payload={"a": "erased-1", "b": "erased-2"})
    erased = AuditEvent.objects.get(pk=event.pk)
    assert erased.content_erased_by == second.pk
    assert erased.content_fresh_salt != salt
    assert list(erasing.records_of(tenant.company)) == [first, second]


def test_records_cannot_be_erased(tenant: Tenant) -> None:
    (event,) = tenant.record(draft())
    record = replace(tenant, event, actor=ERASED)
    with pytest.raises(ValueError, match="is the record of an erasure"):
        replace(tenant, record, payload={})


@pytest.mark.parametrize("count", [0, 201])
def test_a_record_names_a_bounded_number_of_events(tenant: Tenant, count: int) -> None:
    (event,) = tenant.record(draft())
    replacements = [Replacement(event, {"actor": ERASED}, {"actor": [2]})] * count
    with pytest.raises(ValueError, match="1 to 200"):
        erasing.erase(company=tenant.company, erasure_id=REQUEST, replacements=replacements, now=NOON)


def test_events_with_many_values_are_recorded_apart() -> None:
    def of(numbers: int) -> Replacement:
        return Replacement(AuditEvent(), {"payload": []}, {"payload": range(numbers)})

    most = erasing.MOST_NUMBERS
    parts = erasing.in_records([of(1), of(most - 1), of(1), of(10 * most), of(0), of(1), *[of(0)] * 200])
    assert [len(part) for part in parts] == [2, 1, 1, 200, 2]
    assert list(erasing.in_records([])) == []


@pytest.mark.parametrize("payload", [None, [], {}, {"events": 1}, {"events": [1]}, {"events": [{"id": "x"}]}])
def test_a_record_of_another_form_is_refused(payload: Any) -> None:
    record = AuditEvent(payload=payload)
    with pytest.raises(ValueError, match="has not the form"):
        list(erasing.listed_in(record))
    with pytest.raises(ValueError, match="has not the form"):
        erasing.erasure_of(record)


def forgeries(event: AuditEvent, record: AuditEvent, other: AuditEvent) -> dict[str, dict[str, Any]]:
    erased = {"actor": {"id": "mallory"}, "actor_salt": None, "actor_fresh_salt": "0" * 64}
    return {
        "a value alone": {"actor": {"id": "mallory"}},
        "a value and its commitment": {"actor": {"id": "mallory"}, "actor_commitment": "0" * 64},
        "a salt that goes": {"actor_salt": None},
        "without a record": erased,
        "by a record that names another event": {**erased, "actor_erased_by": other.pk},
        "by a record that names another part": {
            "payload": {},
            "content_salt": None,
            "content_fresh_salt": "0" * 64,
            "content_erased_by": record.pk,
        },
        "by an event that is no record": {**erased, "actor_erased_by": event.pk},
        "by the record that it was erased by": {**erased, "actor_erased_by": record.pk},
        "without a fresh salt": {**erased, "actor_fresh_salt": None, "actor_erased_by": record.pk},
        "the hash": {"hash": "0" * 64},
        "nothing": {"action": event.action},
    }


NAMES = list(forgeries(AuditEvent(), AuditEvent(), AuditEvent()))


@pytest.mark.parametrize("name", NAMES)
def test_the_database_refuses_every_other_change(tenant: Tenant, name: str) -> None:
    event, another = tenant.record(draft(), draft())
    record = replace(tenant, event, actor=ERASED)
    other = replace(tenant, another, actor=ERASED)
    event.refresh_from_db()
    before = AuditEvent.objects.filter(pk=event.pk).values().get()
    with pytest.raises(IntegrityError, match="append-only: UPDATE"), transaction.atomic():
        AuditEvent.objects.filter(pk=event.pk).update(**forgeries(event, record, other)[name])
    assert AuditEvent.objects.filter(pk=event.pk).values().get() == before


def test_the_database_refuses_to_change_a_record(tenant: Tenant) -> None:
    (event,) = tenant.record(draft())
    record = replace(tenant, event, actor=ERASED)
    with pytest.raises(IntegrityError, match="append-only: UPDATE"), transaction.atomic():
        AuditEvent.objects.filter(pk=record.pk).update(payload={"events": []})


def test_a_record_of_another_company_permits_nothing(tenant: Tenant, other_tenant: Tenant) -> None:
    (event,), (other,) = tenant.record(draft()), other_tenant.record(draft())
    record = replace(other_tenant, other, actor=ERASED)
    erased = {"actor": ERASED, "actor_salt": None, "actor_fresh_salt": "0" * 64, "actor_erased_by": record.pk}
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(pk=event.pk).update(**erased)
    with pytest.raises(ValueError, match="0 of 1 events were replaced"):
        replace(other_tenant, event, actor=ERASED)
