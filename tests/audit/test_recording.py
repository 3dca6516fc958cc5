import hashlib
import threading
from collections.abc import Sequence

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.utils import InternalError

from audit import chain, recording
from audit.canonical import canonical
from audit.models import AuditEvent, ChainHead
from tests.conftest import NOON, Tenant, draft, open_tenant


def test_a_chain_begins_at_one_and_links_each_event_to_the_one_before(tenant: Tenant) -> None:
    first, second = tenant.record(draft(), draft(action="user.logout"))
    assert (first.seq, first.prev_hash) == (1, chain.GENESIS)
    assert (second.seq, second.prev_hash) == (2, first.hash)
    head = ChainHead.objects.get(workspace=tenant.workspace)
    assert (head.seq, head.hash) == (2, second.hash)


def test_the_hash_is_that_of_the_canonical_envelope_with_salted_commitments(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(payload={"b": 1, "a": [1.5, "é"]}))
    event.refresh_from_db()
    assert event.actor_salt
    assert event.content_salt
    content = canonical({**event.content})
    envelope = {
        "id": str(event.id),
        "companyId": str(tenant.company.id),
        "workspaceId": str(tenant.workspace.id),
        "seq": 1,
        "category": "auth",
        "action": "user.login",
        "occurredAt": "2026-01-31T12:00:00.000000Z",
        "recordedAt": "2026-01-31T12:00:00.000000Z",
        "prevHash": "0" * 64,
        "actor": hashlib.sha256(bytes.fromhex(event.actor_salt) + canonical(event.actor)).hexdigest(),
        "content": hashlib.sha256(bytes.fromhex(event.content_salt) + content).hexdigest(),
    }
    assert event.hash == hashlib.sha256(canonical(envelope)).hexdigest()


def test_each_event_has_salts_of_its_own(tenant: Tenant) -> None:
    one, two = tenant.record(draft(), draft())
    salts = {one.actor_salt, one.content_salt, two.actor_salt, two.content_salt}
    assert {len(salt or "") for salt in salts} == {64}
    assert len(salts) == 4


def test_workspaces_have_chains_of_their_own(tenant: Tenant, other_tenant: Tenant) -> None:
    tenant.record()
    assert other_tenant.record()[0].seq == 1


def test_recording_asks_for_a_transaction(committed: None) -> None:
    tenant = open_tenant("Acme")
    with pytest.raises(transaction.TransactionManagementError, match="caller's transaction"):
        recording.record(workspace=tenant.workspace, drafts=[draft()], now=NOON)


def test_a_thousand_events_are_a_handful_of_statements(tenant: Tenant, django_assert_max_num_queries: object) -> None:
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        tenant.record(*[draft(payload={"n": n}) for n in range(1000)])


def test_a_listener_that_fails_leaves_nothing_recorded(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(events: Sequence[AuditEvent]) -> None:
        raise RuntimeError("no deliveries today")

    monkeypatch.setattr(recording, "_recorded", [fail])
    with pytest.raises(RuntimeError), transaction.atomic():
        tenant.record()
    assert not AuditEvent.objects.exists()
    assert ChainHead.objects.get(workspace=tenant.workspace).seq == 0


def test_concurrent_writers_never_fork_a_chain(committed: None) -> None:
    tenant = open_tenant("Acme")

    def write() -> None:
        for _ in range(10):
            with transaction.atomic():
                tenant.record(draft(), draft())
        connection.close()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = list(AuditEvent.objects.filter(workspace=tenant.workspace).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, 81))
    assert [event.prev_hash for event in events[1:]] == [event.hash for event in events[:-1]]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET action = 'x'",
        "DELETE FROM audit_auditevent",
        "TRUNCATE audit_auditevent CASCADE",
    ],
)
def test_the_database_itself_refuses_every_change_of_an_event(tenant: Tenant, statement: str) -> None:
    tenant.record()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises((IntegrityError, InternalError), match="append-only"):
            cursor.execute(statement)


def test_what_hyrelog_does_is_recorded_in_the_system_workspace(tenant: Tenant) -> None:
    event = recording.record_system(company=tenant.company, action="webhook.disabled", payload={"n": 1}, now=NOON)
    assert (event.workspace.name, event.category) == ("system", "hyrelog")


def test_the_wait_for_a_head_bounds_no_other_lock_of_the_transaction(tenant: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        tenant.record()
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)


def plan(events: QuerySet[AuditEvent]) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
    return events.explain()


def test_indexes_serve_the_lists_of_a_company(tenant: Tenant) -> None:
    tenant.record(*[draft(actor={"id": f"u{n}"}) for n in range(200)])
    events = AuditEvent.objects.filter(company=tenant.company)
    by_actor = plan(events.by_actor("u7").order_by("-id")[:100])
    assert "event_company_actor" in by_actor
    assert "actor ->> 'id'" in by_actor.split("Index Cond:")[1].splitlines()[0]
    assert "Sort" not in by_actor
    everything = plan(events.order_by("-id")[:100])
    assert "event_company " in everything
    assert "Sort" not in everything


def test_no_index_of_events_repeats_the_beginning_of_another(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'audit_auditevent'")
        indexed = {row[0].split(" USING btree ")[1] for row in cursor.fetchall()}
    assert indexed == {
        "(id)",
        "(company_id, id)",
        "(company_id, ((actor ->> 'id'::text)), id)",
        "(workspace_id, seq)",
        "(company_id, seq) WHERE ((action)::text = 'gdpr.erased'::text)",
    }
