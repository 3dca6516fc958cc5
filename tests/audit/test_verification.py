from uuid import UUID, uuid4

import pytest
from django.db import connection

from audit import verification
from audit.models import AuditEvent
from audit.verification import verify
from tests.conftest import Tenant, draft, set_append_only


def tamper(statement: str, *values: str | UUID) -> None:
    """Change rows as somebody would who owns the database."""
    set_append_only("DISABLE")
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
    set_append_only("ENABLE")


@pytest.fixture
def chained(tenant: Tenant) -> Tenant:
    tenant.record(*[draft(payload={"n": n}, target={"id": str(n)}) for n in range(5)])
    return tenant


def faults(tenant: Tenant) -> list[str]:
    return [str(fault) for fault in verify(tenant.workspace)]


def test_an_intact_chain_has_no_faults(chained: Tenant) -> None:
    told: list[int] = []
    assert list(verify(chained.workspace, advance=told.append)) == []
    assert sum(told) == 5


def test_an_empty_chain_is_intact(tenant: Tenant) -> None:
    assert faults(tenant) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("payload = '{\"n\": 99}'", "content was altered"),
        ("metadata = '{}'", "content was altered"),
        ('actor = \'{"id": "mallory"}\'', "actor was altered"),
        ("action = 'user.deleted'", "envelope was altered"),
        ("category = 'x'", "envelope was altered"),
        ("occurred_at = occurred_at - interval '1 microsecond'", "envelope was altered"),
        ("recorded_at = now()", "envelope was altered"),
        ("content_salt = NULL", "salt of its content is missing"),
        ("actor_salt = repeat('0', 64)", "actor was altered"),
        ("content_commitment = repeat('0', 64)", "content was altered"),
        ("id = gen_random_uuid()", "envelope was altered"),
        ("payload = '{\"n\": 9007199254740993}'", "content was altered"),
        ("content_salt = 'zz'", "content was altered"),
        ("actor_salt = 'zz'", "actor was altered"),
        ("actor = '{\"id\": 1e6000}'", "cannot be read"),
        ("occurred_at = 'infinity'", "cannot be read"),
        ("occurred_at = '0001-01-01 00:00:00+14'", "cannot be read"),
    ],
)
def test_an_altered_event_is_named_with_its_reason(chained: Tenant, change: str, reason: str) -> None:
    tamper(f"UPDATE audit_auditevent SET {change} WHERE workspace_id = %s AND seq = 3", chained.workspace.id)
    altered = AuditEvent.objects.filter(workspace=chained.workspace, seq=3).values_list("id", flat=True).get()
    found = faults(chained)
    assert len([fault for fault in found if reason in fault]) == 1
    assert all(f"event {altered} (seq 3)" in fault for fault in found)


def test_a_rewritten_hash_breaks_the_link_to_it(chained: Tenant) -> None:
    event = AuditEvent.objects.get(workspace=chained.workspace, seq=3)
    event.action = "forged"
    tamper("UPDATE audit_auditevent SET action = 'forged', hash = %s WHERE id = %s", event.compute_hash(), event.id)
    (fault,) = faults(chained)
    assert "seq 4" in fault
    assert "prev_hash is not the hash of the event before it" in fault


def test_a_deleted_event_is_missed(chained: Tenant) -> None:
    tamper("DELETE FROM audit_auditevent WHERE workspace_id = %s AND seq = 2", chained.workspace.id)
    assert any("seq 2: missing" in fault for fault in faults(chained))


def test_a_deleted_end_is_missed(chained: Tenant) -> None:
    tamper("DELETE FROM audit_auditevent WHERE workspace_id = %s AND seq >= 4", chained.workspace.id)
    (fault,) = faults(chained)
    assert "seq 4: missing: the chain's head says that it reaches 5" in fault


def test_a_rewritten_last_event_differs_from_the_head(chained: Tenant) -> None:
    event = AuditEvent.objects.get(workspace=chained.workspace, seq=5)
    event.action = "forged"
    tamper("UPDATE audit_auditevent SET action = 'forged', hash = %s WHERE id = %s", event.compute_hash(), event.id)
    (fault,) = faults(chained)
    assert "head holds another hash" in fault


def forge(tenant: Tenant, *, seq: int) -> None:
    """A copy of the first event at another place."""
    event = AuditEvent.objects.get(workspace=tenant.workspace, seq=1)
    event.pk, event.seq = uuid4(), seq
    event.hash = event.compute_hash()
    event.save(force_insert=True)


@pytest.mark.parametrize(
    ("seq", "where"), [(6, "beyond the chain's head"), (9, "beyond"), (0, "before"), (-3, "before")]
)
def test_a_forged_row_outside_the_chain_is_found(chained: Tenant, seq: int, where: str) -> None:
    forge(chained, seq=seq)
    (fault,) = faults(chained)
    assert f"(seq {seq}): forged" in fault
    assert where in fault


def test_events_recorded_meanwhile_are_no_faults(chained: Tenant) -> None:
    assert list(verify(chained.workspace, advance=lambda _: chained.record(draft(), draft()))) == []


def test_one_altered_row_leaves_the_rest_verified(chained: Tenant) -> None:
    where = "WHERE workspace_id = %s AND seq"
    tamper(f"UPDATE audit_auditevent SET occurred_at = 'infinity' {where} = 2", chained.workspace.id)
    tamper(f"UPDATE audit_auditevent SET payload = '{{\"n\": 1e400}}' {where} = 3", chained.workspace.id)
    tamper(f"UPDATE audit_auditevent SET action = 'x' {where} = 5", chained.workspace.id)
    assert [fault.seq for fault in verify(chained.workspace)] == [2, 3, 5]


def test_large_events_are_read_a_few_at_a_time(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PART_CHARACTERS", 100_000)
    sizes = [10, 10, 60_000, 60_000, 10, 200_000, 10]
    tenant.record(*[draft(payload={"text": "x" * size}) for size in sizes])  # stored, they are a hundredth of it
    told: list[int] = []
    assert list(verify(tenant.workspace, advance=told.append)) == []
    assert told == [3, 2, 1, 1]


def test_a_chain_longer_than_a_part_is_read_whole(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "PART_ROWS", 3)
    tenant.record(*[draft() for _ in range(7)])
    told: list[int] = []
    assert list(verify(tenant.workspace, advance=told.append)) == []
    assert told == [3, 3, 1]
