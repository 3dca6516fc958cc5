"""No erasure covers a forgery: each that leans on a missing salt is named, once, where it stands."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from audit.erasing import ERASED
from audit.models import AuditEvent
from audit.recording import record_system
from tests.audit.erasures import (
    ACTOR,
    FIRST,
    FORGED,
    NOWHERE,
    PAYLOAD,
    SALT,
    SECOND,
    alter,
    erase,
    faults,
    listing,
    marks,
    pretend,
    the_fault,
)
from tests.conftest import NOON, Tenant, draft


@pytest.fixture
def event(tenant: Tenant) -> AuditEvent:
    """The second of three."""
    return tenant.record(*[draft(payload={"note": "Ada called"}) for _ in range(3)])[1]


@pytest.fixture
def record(tenant: Tenant, event: AuditEvent) -> AuditEvent:
    """Of an erasure of the event's actor."""
    return erase(tenant.company, event, actor=ACTOR)


@pytest.mark.parametrize(
    ("forged", "reason"),
    [
        ({"actor_erased_by": None}, "the salt of its actor is missing without an erasure on record"),
        ({"actor_fresh_salt": None}, "the salt of its actor is missing without an erasure on record"),
        ({"content_salt": None}, "the salt of its content is missing without an erasure on record"),
        ({"actor_salt": SALT}, "its actor has its salt and yet marks of an erasure"),
        ({"content_fresh_salt": SALT}, "its content has its salt and yet marks of an erasure"),
        ({"content_erased_by": NOWHERE}, "its content has its salt and yet marks of an erasure"),
        ({"actor": {"id": "mallory"}}, f"its actor was altered after it was erased by request {FIRST}"),
        ({"actor_fresh_salt": SALT}, f"its actor was altered after it was erased by request {FIRST}"),
        ({"actor_fresh_salt": "zz" * 32}, f"its actor was altered after it was erased by request {FIRST}"),
        ({"actor": {"n": 2.0**60}}, f"its actor was altered after it was erased by request {FIRST}"),
        ({"actor_erased_by": NOWHERE}, f"event {NOWHERE}, which it names as the record of that, does not exist"),
    ],
)
def test_an_erased_part_stands_as_its_record_says(
    tenant: Tenant, event: AuditEvent, record: AuditEvent, forged: Mapping[str, Any], reason: str
) -> None:
    alter(event, **forged)
    assert reason in the_fault(tenant.company, event)


def in_another_company(tenant: Tenant, other: Tenant, event: AuditEvent) -> AuditEvent:
    return pretend(other.company.system_workspace, listing(event))


def in_another_workspace(tenant: Tenant, other: Tenant, event: AuditEvent) -> AuditEvent:
    return pretend(tenant.company.add_workspace(name="System"), listing(event))


def of_another_action(tenant: Tenant, other: Tenant, event: AuditEvent) -> AuditEvent:
    return pretend(tenant.company.system_workspace, listing(event), action="gdpr.erasure.completed")


def of_another_category(tenant: Tenant, other: Tenant, event: AuditEvent) -> AuditEvent:
    system = Tenant(tenant.company, tenant.company.system_workspace, "", "")
    return system.record(draft(action=ERASED, payload=listing(event)))[0]


def the_event_itself(tenant: Tenant, other: Tenant, event: AuditEvent) -> AuditEvent:
    return event


@pytest.mark.parametrize(
    "make", [in_another_company, in_another_workspace, of_another_action, of_another_category, the_event_itself]
)
def test_only_a_record_in_the_companys_system_chain_counts(
    tenant: Tenant, other_tenant: Tenant, event: AuditEvent, make: Callable[[Tenant, Tenant, AuditEvent], AuditEvent]
) -> None:
    pretended = make(tenant, other_tenant, event)
    alter(event, **FORGED, actor_erased_by=pretended.pk)
    found = [fault for fault in faults(tenant.company) if str(pretended.pk) not in fault.split(": ")[0]]
    if pretended == event:
        found = faults(tenant.company)
    (fault,) = found
    assert f"event {event.pk} (seq 2): its actor was erased" in fault
    assert f"event {pretended.pk}, which it names as the record of that, is no gdpr.erased in the company's" in fault


@pytest.mark.parametrize("listed", ["another event", "another part"])
def test_a_record_counts_only_for_the_parts_that_it_lists(tenant: Tenant, event: AuditEvent, listed: str) -> None:
    if listed == "another event":
        record = erase(tenant.company, AuditEvent.objects.get(workspace=tenant.workspace, seq=3), actor=ACTOR)
    else:
        record = erase(tenant.company, event, payload=PAYLOAD)
    alter(event, **FORGED, actor_erased_by=record.pk)
    assert f"the record that it names, event {record.pk}, does not list it" in the_fault(tenant.company, event)


def test_a_part_that_is_back_is_found_for_each_request(tenant: Tenant, event: AuditEvent) -> None:
    before = marks(event)
    erase(tenant.company, event, actor=ACTOR, payload=PAYLOAD)
    erase(tenant.company, event, request=SECOND, payload={"note": "erased-2"})
    alter(event, **before)
    where = f"workspace {tenant.workspace.pk}, event {event.pk} (seq 2): "
    parts = [("actor", FIRST), ("content", FIRST), ("content", SECOND)]
    assert faults(tenant.company) == [
        f"{where}its {part} was erased by request {request}, but it is back: run manage.py replay_erasures"
        for part, request in parts
    ]


def test_a_part_that_is_back_to_an_earlier_erasure_is_found(tenant: Tenant, event: AuditEvent) -> None:
    erase(tenant.company, event, payload={"note": "erased-1, and Bob"})
    between = marks(event)
    erase(tenant.company, event, request=SECOND, payload={"note": "erased-1, and erased-2"})
    alter(event, **between)
    fault = the_fault(tenant.company, event)
    assert f"its content was erased by request {SECOND}, but it is back to what an earlier erasure left" in fault


@pytest.mark.parametrize("forged", [{"content_salt": SALT}, {"content_fresh_salt": None}])
def test_marks_at_odds_are_told_of_once(tenant: Tenant, event: AuditEvent, forged: dict[str, Any]) -> None:
    erase(tenant.company, event, payload={"note": "erased-1, and Bob"})
    between = marks(event)
    erase(tenant.company, event, request=SECOND, payload={"note": "erased-1, and erased-2"})
    alter(event, **between | forged)
    assert "its content" in the_fault(tenant.company, event)


def test_an_erased_event_of_the_system_chain_stands_as_its_record_says(tenant: Tenant) -> None:
    event = record_system(company=tenant.company, action="webhook.disabled", payload={"to": "ada"}, now=NOON)
    before = marks(event)
    erase(tenant.company, event, payload=PAYLOAD)
    alter(event, payload={"to": "bob"})
    assert "its content was altered after it was erased" in the_fault(tenant.company, event)
    alter(event, **before)
    assert f"its content was erased by request {FIRST}, but it is back" in the_fault(tenant.company, event)
