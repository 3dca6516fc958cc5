"""Records of erasures that were altered, forged or misplaced, and that say what is not so."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.db import connection

from audit import chain, erasing
from audit.models import AuditEvent, ChainHead
from tests import malformed
from tests.audit.erasures import (
    ACTOR,
    FIRST,
    FORGED,
    alter,
    both_faults,
    erase,
    faults,
    listing,
    pretend,
    the_fault,
)
from tests.conftest import NOON, Tenant, draft, set_append_only


@pytest.fixture
def event(tenant: Tenant) -> AuditEvent:
    """The second of three."""
    return tenant.record(*[draft(payload={"note": "Ada called"}) for _ in range(3)])[1]


@pytest.fixture
def record(tenant: Tenant, event: AuditEvent) -> AuditEvent:
    """Of an erasure of the event's actor."""
    return erase(tenant.company, event, actor=ACTOR)


@pytest.mark.parametrize(
    ("altered", "reason"),
    [
        ({"payload": {"erasureId": str(FIRST), "events": []}}, "its content was altered"),
        ({"actor": {"id": "mallory"}}, "its actor was altered"),
        ({"recorded_at": NOON.replace(year=2025)}, "its envelope was altered"),
        ({"content_salt": None}, "its content has marks of an erasure, but it is the record of one"),
    ],
)
def test_a_record_that_was_altered_covers_nothing(
    tenant: Tenant, event: AuditEvent, record: AuditEvent, altered: Mapping[str, Any], reason: str
) -> None:
    alter(record, **altered)
    of_record, of_event = both_faults(tenant.company, record, event)
    assert f"event {record.pk} (seq 1): {reason}" in of_record
    assert f"event {record.pk}, which it names as the record of that, was altered" in of_event


def test_a_record_that_cannot_be_read_covers_nothing(tenant: Tenant, event: AuditEvent, record: AuditEvent) -> None:
    set_append_only("DISABLE")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_auditevent SET payload = '{\"n\": 1e6000}' WHERE id = %s", [record.pk])
    set_append_only("ENABLE")
    of_record, of_event = both_faults(tenant.company, record, event)
    assert "cannot be read" in of_record
    assert f"event {record.pk}, which it names as the record of that, does not exist or cannot be read" in of_event


def test_a_record_beyond_the_chains_head_covers_nothing(tenant: Tenant, event: AuditEvent) -> None:
    beyond = pretend(tenant.company.system_workspace, listing(event))
    ChainHead.objects.filter(workspace=beyond.workspace_id).update(seq=0, hash=chain.GENESIS)
    alter(event, **FORGED, actor_erased_by=beyond.pk)
    of_record, of_event = both_faults(tenant.company, beyond, event)
    assert f"event {beyond.pk} (seq 1): forged: it stands beyond the chain's head" in of_record
    assert f"event {beyond.pk}, which it names as the record of that, stands outside its chain" in of_event


def test_a_record_that_was_erased_is_a_fault(tenant: Tenant, event: AuditEvent, record: AuditEvent) -> None:
    covering = pretend(tenant.company.system_workspace, listing(record))
    alter(record, **FORGED, actor_erased_by=covering.pk)
    of_record, of_event = both_faults(tenant.company, record, event)
    assert "its actor has marks of an erasure, but it is the record of one" in of_record
    assert f"event {record.pk}, which it names as the record of that, was altered" in of_event


@pytest.mark.parametrize("payload", malformed.PAYLOADS, ids=lambda payload: str(payload)[:80])
def test_a_record_without_the_form_of_one_is_a_fault_and_covers_nothing(
    tenant: Tenant, event: AuditEvent, payload: Any
) -> None:
    pretended = pretend(tenant.company.system_workspace, payload)
    assert the_fault(tenant.company, pretended).endswith("it has not the form of an erasure's record")
    alter(event, **FORGED, actor_erased_by=pretended.pk)
    _, of_event = both_faults(tenant.company, pretended, event)
    assert f"event {pretended.pk}, which it names as the record of that, has not the form of one" in of_event


@pytest.mark.parametrize("payload", malformed.GOOD, ids=lambda payload: str(payload)[:80])
def test_a_record_with_the_form_of_one_is_read(tenant: Tenant, payload: Any) -> None:
    pretended = pretend(tenant.company.system_workspace, payload)
    assert erasing.erasure_of(pretended) == malformed.ERASURE
    assert [listed.event_id for listed in erasing.listed_in(pretended)] == [item["id"] for item in payload["events"]]


def test_what_stands_in_another_chain_than_the_system_one_records_nothing(tenant: Tenant, event: AuditEvent) -> None:
    pretended = pretend(tenant.workspace, listing(event))
    assert the_fault(tenant.company, pretended).endswith(
        "HyreLog records what it did in the workspace `system` only: this one was renamed, or the event is forged"
    )


def test_a_record_of_another_companys_event_is_a_fault(tenant: Tenant, other_tenant: Tenant, event: AuditEvent) -> None:
    pretended = pretend(other_tenant.company.system_workspace, listing(event))
    fault = the_fault(other_tenant.company, pretended)
    assert f"it records that event {event.pk} was erased, which is another company's" in fault


def test_what_was_erased_and_deleted_is_missed_by_the_record_too(
    tenant: Tenant, event: AuditEvent, record: AuditEvent
) -> None:
    set_append_only("DISABLE")
    AuditEvent.objects.filter(pk=event.pk).delete()
    set_append_only("ENABLE")
    missed, listed = sorted(faults(tenant.company), key=lambda fault: "records that" in fault)
    assert "seq 2: missing" in missed
    assert f"event {record.pk} (seq 1): it records that event {event.pk} was erased, which does not exist" in listed
