"""What erasures leave is no fault: verification tells of it, by request."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit import erased, erasing, verification
from audit.erasing import Replacement
from audit.models import Workspace
from audit.recording import record_system
from audit.verification import verify
from tests.audit.erasures import ACTOR, FIRST, PAYLOAD, SECOND, alter, erase, faults, marks, told
from tests.conftest import NOON, Tenant, draft

NOTE = {"note": "Ada called"}


def test_nothing_is_told_where_nothing_was_erased(tenant: Tenant) -> None:
    tenant.record(draft(), draft())
    assert told(tenant.workspace, tenant.company.system_workspace) == {}


def test_a_part_that_was_erased_is_told_and_the_rest_is_verified(tenant: Tenant) -> None:
    first, _, third = tenant.record(*[draft(payload=NOTE) for _ in range(3)])
    erase(tenant.company, first, third, actor=ACTOR)
    assert told(tenant.workspace) == {(FIRST, "actor"): 2}
    assert faults(tenant.company) == []
    alter(third, payload={"note": "Ada never called"})
    (fault,) = faults(tenant.company)
    assert f"event {third.pk} (seq 3): its content was altered: it does not match its commitment" in fault


def test_parts_may_be_erased_by_different_requests(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload=NOTE))
    erase(tenant.company, event, actor=ACTOR)
    erase(tenant.company, event, request=SECOND, payload=PAYLOAD)
    assert told(tenant.workspace) == {(FIRST, "actor"): 1, (SECOND, "content"): 1}
    assert faults(tenant.company) == []


def test_what_was_erased_twice_is_told_of_the_latest_request(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload=NOTE))
    erase(tenant.company, event, payload=PAYLOAD, actor=ACTOR)
    erase(tenant.company, event, request=SECOND, payload={"note": "erased-2"})
    erase(tenant.company, event, request=SECOND, payload={"erased-2": "erased-2"})
    assert told(tenant.workspace) == {(FIRST, "actor"): 1, (SECOND, "content"): 1}
    assert faults(tenant.company) == []


def test_a_record_names_an_event_once(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload=NOTE))
    parts = [Replacement(event, {"actor": ACTOR}, {"actor": [2]}), Replacement(event, {"payload": PAYLOAD}, {})]
    with pytest.raises(ValueError, match="1 of 2 events were replaced"), transaction.atomic():
        erasing.erase(company=tenant.company, erasure_id=FIRST, replacements=parts, now=NOON)
    assert faults(tenant.company) == []


def test_events_of_the_system_chain_may_be_erased(tenant: Tenant) -> None:
    payload: dict[str, object] = {"requestedBy": "ada@example.com"}
    event = record_system(company=tenant.company, action="gdpr.export.requested", payload=payload, now=NOON)
    erase(tenant.company, event, payload=PAYLOAD)
    assert told(tenant.company.system_workspace) == {(FIRST, "content"): 1}


def test_a_request_reaches_over_workspaces_and_companies_stay_apart(tenant: Tenant, other_tenant: Tenant) -> None:
    (event,), (other,) = tenant.record(draft()), other_tenant.record(draft())
    staging = Tenant(tenant.company, tenant.company.add_workspace(name="staging"), "", "")
    (staged,) = staging.record(draft())
    erase(tenant.company, event, staged, actor=ACTOR)
    erase(other_tenant.company, other, request=SECOND, actor=ACTOR)
    assert told(tenant.workspace) == told(staging.workspace) == {(FIRST, "actor"): 1}
    assert told(*tenant.company.workspaces.all()) == {(FIRST, "actor"): 2}
    assert told(*other_tenant.company.workspaces.all()) == {(SECOND, "actor"): 1}


def test_what_is_erased_meanwhile_is_no_fault(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PART_ROWS", 1)
    first, second, third = tenant.record(*[draft(payload=NOTE) for _ in range(3)])
    erase(tenant.company, first, third, actor=ACTOR)

    def go_on(_: int) -> None:
        erase(tenant.company, first, second, third, request=SECOND, actor=ACTOR)

    assert list(verify(tenant.workspace, advance=go_on)) == []
    assert list(verify(tenant.company.system_workspace, advance=go_on)) == []


@pytest.mark.parametrize(("room", "looks"), [(6, 2), (5, 6), (1, 6)])
def test_records_are_read_again_only_if_there_is_no_room_for_them(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, room: int, looks: int
) -> None:
    monkeypatch.setattr(erased, "LISTED_AT_HAND", room)
    events = tenant.record(*[draft() for _ in range(6)])
    records = [
        erase(tenant.company, *events[::2], actor=ACTOR),
        erase(tenant.company, *events[1::2], request=SECOND, actor=ACTOR),
    ]
    with CaptureQueriesContext(connection) as made:
        assert told(tenant.workspace) == {(FIRST, "actor"): 3, (SECOND, "actor"): 3}
    assert sum(record.pk.hex in query["sql"] for query in made for record in records) == looks


def test_records_cost_statements_only_where_something_was_erased(tenant: Tenant) -> None:
    def statements(workspace: Workspace) -> int:
        with CaptureQueriesContext(connection) as made:
            assert list(verify(workspace)) == []
        return len(made)

    plain = statements(tenant.workspace)
    events = tenant.record(*[draft() for _ in range(9)])
    unerased = statements(tenant.workspace)
    assert unerased == plain + 2  # the part's links and its events
    erase(tenant.company, *events[:4], actor=ACTOR)
    erase(tenant.company, *events[4:], actor=ACTOR)
    assert statements(tenant.workspace) == unerased + 4  # both records, where they must stand, how far that reaches


def say(*arguments: str) -> str:
    said = StringIO()
    call_command("verify_chain", *arguments, stdout=said)
    return said.getvalue()


def test_the_command_says_what_each_request_erased(tenant: Tenant) -> None:
    events = tenant.record(*[draft(payload=NOTE) for _ in range(4)])
    erase(tenant.company, events[0], request=SECOND, actor=ACTOR)
    erase(tenant.company, *events[1:3], actor=ACTOR)
    erase(tenant.company, *events[1:], payload=PAYLOAD)
    assert say().splitlines() == [
        f"erased by request {FIRST}: actor of 2 events, content of 3",
        f"erased by request {SECOND}: actor of 1 event",
        "7 events in 2 chains: intact.",
    ]


@pytest.mark.parametrize("of", [lambda tenant: tenant.workspace, lambda tenant: tenant.company.system_workspace])
def test_what_is_back_is_found_by_verifying_one_workspace(
    tenant: Tenant, other_tenant: Tenant, of: Callable[[Tenant], Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    (event,) = tenant.record(draft())
    other_tenant.record(draft())
    before = marks(event)
    erase(tenant.company, event, actor=ACTOR)
    alter(event, **before)
    with pytest.raises(SystemExit, match="1"):
        say("--workspace", str(of(tenant).pk))
    said = capsys.readouterr().err
    assert f"event {event.pk} (seq 1): its actor was erased by request {FIRST}, but it is back" in said
    assert say("--workspace", str(other_tenant.workspace.pk)) == "1 events in 2 chains: intact.\n"
