"""Repeating erasures after tables were put back: what comes back is erased once more, and nothing else is touched."""

import io
import uuid
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from audit import erasing
from audit.models import AuditEvent
from gdpr import storage
from gdpr.erasures import holds, ledger
from gdpr.erasures.completing_again import UNKNOWN_NAME
from gdpr.erasures.known import gathering
from gdpr.erasures.repeated import Repeated
from gdpr.erasures.replaying import Replay
from gdpr.models import ErasedRow, Erasure, ErasureApproval
from gdpr.subjects import Subject
from jobs.enqueueing import enqueue
from jobs.models import Job
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.engine import ADA, BOB, erased
from tests.gdpr.erasures.erased import erase_events, requested
from tests.gdpr.erasures.restoring import (
    faults,
    forget,
    put_back,
    put_back_events,
    replay,
    rows_of,
    values_of,
)
from tests.gdpr.erasures.test_ledger import lines_of, signed
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

OF_ADA = {"actor": {"id": "ada", "email": "ada@example.com"}, "payload": {"to": "ada@example.com", "n": 1}}
OF_BOTH = {"actor": {"id": "ada"}, "payload": {"from": "ada@example.com", "to": "bob@example.com"}}
NAMES = {"actor": {"id": "ada"}, "payload": {"ada": 1, "bob": 2, "zoe": 3, "list": ["ada", "bob"]}}


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path)
    return tmp_path


def everything(tenant: Tenant) -> list[Any]:
    return rows_of(AuditEvent.objects.filter(company=tenant.company, workspace=tenant.workspace))


def figures(one: Repeated) -> tuple[int, int, int]:
    return one.events, one.as_they_must, one.absent


def test_nothing_that_stands_as_it_must_is_touched(tenant: Tenant) -> None:
    tenant.record(draft(**OF_ADA), draft(**OF_BOTH))
    erased(tenant.company)
    erased(tenant.company, BOB)
    before = rows_of(AuditEvent.objects.all())
    first, second = replay()
    assert (figures(first), figures(second)) == ((0, 2, 0), (0, 0, 0))
    assert not first.changed
    assert not second.changed
    assert rows_of(AuditEvent.objects.all()) == before


@pytest.mark.parametrize("ledgers", [True, False], ids=["with ledgers", "by the records alone"])
def test_events_that_are_back_are_erased_as_they_were(tenant: Tenant, *, ledgers: bool) -> None:
    events = tenant.record(draft(**OF_ADA), draft(actor={"id": "zoe"}), draft(**OF_BOTH))
    before = everything(tenant)
    erasure = erased(tenant.company)
    values = values_of(events)
    put_back_events(before)
    assert [fault for fault in faults(tenant.company) if "back" in fault]
    (one,) = replay(ledgers=ledgers)
    assert figures(one) == (2, 0, 0)
    assert values_of(events) == values
    assert faults(tenant.company) == []
    *_, record = erasing.records_of(tenant.company)
    assert erasing.erasure_of(record) == str(erasure.pk)
    assert {listed.event_id for listed in erasing.listed_in(record)} == {str(events[0].pk), str(events[2].pk)}
    assert figures(replay(ledgers=ledgers)[0]) == (0, 2, 0)


@pytest.mark.parametrize("fields", [OF_BOTH, NAMES], ids=["values", "names, by which numbers move"])
def test_two_erasures_of_one_event_are_repeated_in_their_order(tenant: Tenant, fields: dict[str, Any]) -> None:
    events = tenant.record(draft(**fields))
    before = everything(tenant)
    first = erased(tenant.company)
    between = everything(tenant)
    second = erased(tenant.company, BOB)
    values = values_of(events)
    both = [first, second]  # of `between`, in the end, the latest record of the actor is another
    for rows, repeated in ((between, [second]), (before, both), (before, both), (between, both)):
        put_back_events(rows)
        found = replay()
        assert [one.known.erasure_id for one in found if one.events] == [erasure.pk for erasure in repeated]
        assert [one.whole for one in found] == [0, 0]
        assert values_of(events) == values
        assert faults(tenant.company) == []
        assert not any(one.changed for one in replay())


@pytest.mark.parametrize("fields", [OF_BOTH, NAMES], ids=["values", "names, by which numbers move"])
def test_erasures_that_have_replaced_each_other_in_any_order_are_left_alone(
    tenant: Tenant, fields: dict[str, Any]
) -> None:
    """A request that failed learns the pseudonym of another one, and goes on after it."""
    people = (ADA, Subject(actor_ids=("ada",)), Subject(actor_ids=("bob",), emails=("ada@example.com",)))
    for order in sorted(set(permutations((0, 1, 2, 0)))):
        (event,) = tenant.record(draft(**fields))
        asked = [requested(tenant.company, person=person) for person in people]
        names: tuple[str, ...] = ()
        for number in order:
            erasure, event = asked[number], AuditEvent.objects.get(pk=event.pk)
            ids = (*people[number].actor_ids, *names)
            erasure.subject = Subject(actor_ids=ids, emails=people[number].emails).as_json()
            if erasure.person().matches([event.actor, event.payload]):
                erase_events(erasure, event)
                names = (*names, erasure.pseudonym)
    healthy = rows_of(AuditEvent.objects.all())
    for how in ({}, {"every_table": True}):
        assert not any(one.changed for one in replay(**how))
    assert rows_of(AuditEvent.objects.all()) == healthy
    assert faults(tenant.company) == []


@pytest.mark.parametrize("fields", [OF_BOTH, NAMES], ids=["values", "names, by which numbers move"])
def test_what_is_back_of_erasures_that_have_replaced_each_other_is_erased_again(
    tenant: Tenant, fields: dict[str, Any]
) -> None:
    (event,) = tenant.record(draft(**fields))
    before = everything(tenant)
    first = erased(tenant.company, Subject(actor_ids=("ada",)))
    between = everything(tenant)
    both = Subject(actor_ids=(first.pseudonym, "bob"), emails=("bob@example.com", "ada@example.com"))
    erased(tenant.company, both)
    for rows in (before, between, before):
        put_back_events(rows)
        replay()
        after = AuditEvent.objects.get(pk=event.pk)
        assert not any(person.matches([after.actor, after.payload]) for person in (ADA, BOB))
        assert faults(tenant.company) == []
        assert not any(one.changed for one in replay())


def test_one_that_stands_as_it_must_but_names_a_record_before_the_latest_is_recorded_anew(tenant: Tenant) -> None:
    events = tenant.record(draft(**OF_ADA))
    before = everything(tenant)
    erased(tenant.company)
    after = everything(tenant)
    put_back_events(before)
    replay()
    put_back_events(after)  # from a backup of between the two
    assert faults(tenant.company)
    assert figures(replay()[0]) == (1, 0, 0)
    assert values_of(events)[0]["payload"] == after[0]["payload"]
    assert faults(tenant.company) == []
    assert not replay()[0].changed


def test_an_erasure_that_came_before_the_replay_does_not_hide_that_another_is_missing(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(**OF_BOTH))
    before = everything(tenant)
    erased(tenant.company)
    put_back_events(before)
    second = erased(tenant.company, BOB)
    assert ADA.matches(AuditEvent.objects.get(pk=event.pk).payload)
    first, _ = replay()
    assert (first.events, first.whole) == (1, 1)
    after = AuditEvent.objects.get(pk=event.pk)
    assert not ADA.matches([after.actor, after.payload])
    assert second.pseudonym in str(after.payload)
    assert faults(tenant.company) == []
    assert not any(one.changed for one in replay())
    put_back_events(before)  # the second has numbers of what stood there without the first
    replay()
    after = AuditEvent.objects.get(pk=event.pk)
    assert not ADA.matches([after.actor, after.payload])
    assert not BOB.matches([after.actor, after.payload])
    assert faults(tenant.company) == []
    assert not any(one.changed for one in replay())


def test_what_is_back_but_is_not_what_was_sealed_loses_all_values(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(**OF_ADA, metadata={"ip": "10.1.2.3"}, changes=[]))
    (before,) = everything(tenant)
    erasure = erased(tenant.company)
    put_back_events([before | {"payload": {"a": "moved", "to": "ada@example.com", "n": 1}}])
    (one,) = replay()
    assert (one.events, one.whole) == (1, 1)
    after = AuditEvent.objects.get(pk=event.pk)
    word = erasure.pseudonym
    assert after.payload == {word: word, f"{word}-2": word, f"{word}-3": word}
    assert after.metadata == {word: word}
    assert after.changes == []
    assert faults(tenant.company) == []
    assert not replay()[0].changed


def test_a_part_without_any_value_that_was_listed_is_not_repeated_for_ever(tenant: Tenant) -> None:
    tenant.record(draft(**OF_ADA))
    (before,) = everything(tenant)
    erased(tenant.company)
    put_back_events([before | {"payload": {}, "actor": None}])
    assert figures(replay()[0]) == (1, 0, 0)
    assert not replay()[0].changed


def test_large_events_are_repeated_in_transactions_of_bounded_size(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdpr.erasures.replaying.MOST_CHARACTERS", 400)
    tenant.record(*[draft(payload={"to": "ada@example.com", "text": "x" * size}) for size in (10, 10, 900, 900)])
    before = everything(tenant)
    erased(tenant.company)
    put_back_events(before)
    assert figures(replay()[0]) == (4, 0, 0)
    _, *made = erasing.records_of(tenant.company)
    assert [len(list(erasing.listed_in(record))) for record in made] == [2, 1, 1]
    assert figures(replay()[0]) == (0, 4, 0)


def test_what_the_database_does_not_have_is_counted(tenant: Tenant) -> None:
    kept, gone = tenant.record(draft(**OF_ADA), draft(**OF_ADA))
    (before, _) = everything(tenant)
    erased(tenant.company)
    put_back_events([before])
    forget(AuditEvent.objects.filter(pk=gone.pk))
    assert figures(replay()[0]) == (1, 0, 1)
    assert not ADA.matches(AuditEvent.objects.get(pk=kept.pk).payload)


def test_events_of_another_company_are_never_touched(tenant: Tenant, other_tenant: Tenant) -> None:
    tenant.record(draft(**OF_ADA))
    erased(tenant.company)
    other_tenant.record(draft(**OF_ADA))
    before = everything(other_tenant)
    replay(every_table=True)
    assert everything(other_tenant) == before


def test_what_follows_events_that_are_back_is_emptied_again(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    (event,) = tenant.record(draft(**OF_ADA))
    delivery = WebhookDelivery.objects.get(event=event)
    WebhookAttempt.objects.create(
        company=tenant.company, delivery=delivery, number=1, url="https://example.com/", started_at=NOON,
        response_body="Hello, Countess!", result="delivered",
    )  # fmt: skip
    before, answers = everything(tenant), rows_of(WebhookAttempt.objects.all())
    erased(tenant.company)
    put_back_events(before)
    put_back(WebhookAttempt, answers)
    (one,) = replay()
    assert (one.events, one.rows) == (1, 1)
    assert WebhookAttempt.objects.get().response_body == ""
    put_back(WebhookAttempt, answers)
    assert not replay()[0].changed
    assert [one.rows for one in replay(every_table=True)] == [1]
    assert WebhookAttempt.objects.get().response_body == ""


def test_what_somebody_is_at_work_on_is_left_for_the_next_replay(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdpr.erasures.repeating_rows.PATIENCE", 1)
    monkeypatch.setattr("gdpr.erasures.repeating_rows.PAUSE", 0.0)
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    (event,) = tenant.record(draft(**OF_ADA))
    before = everything(tenant)
    erasure = erased(tenant.company)
    put_back_events(before)
    attempt = WebhookAttempt.objects.create(
        company=tenant.company,
        delivery=WebhookDelivery.objects.get(event=event),
        number=1,
        url="https://example.com/",
        started_at=NOON,
        result="sending",
    )
    undone = {"status": "REQUESTED", "subject": ADA.as_json(), "key": "k", "completed_at": None, "certificate": None}
    Erasure.objects.filter(pk=erasure.pk).update(**undone)
    (one,) = replay()
    assert (one.events, one.busy, one.completed) == (0, 1, False)
    assert ADA.matches(AuditEvent.objects.get(pk=event.pk).payload)
    WebhookAttempt.objects.filter(pk=attempt.pk).update(result="lost")
    assert figures(replay()[0]) == (1, 0, 0)


def test_a_legal_hold_keeps_nothing_that_was_erased_before_it(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/", description="of ada@example.com")
    tenant.record(draft(**OF_ADA))
    before, webhooks = everything(tenant), rows_of(Webhook.objects.all())
    erased(tenant.company)
    put_back_events(before)
    put_back(Webhook, webhooks)
    holds.place(company=tenant.company, subject=None, reason="A claim.", placed_by="olga", now=NOON)
    (one,) = replay(every_table=True)
    assert (one.events, one.rows) == (1, 1)


def test_a_dry_run_tells_and_changes_nothing(tenant: Tenant) -> None:
    tenant.record(draft(**OF_ADA), draft(**OF_BOTH))
    before = everything(tenant)
    erased(tenant.company)
    erased(tenant.company, BOB)
    put_back_events(before)
    restored = rows_of(AuditEvent.objects.all())
    first, second = replay(dry_run=True)
    assert (figures(first), figures(second)) == ((2, 0, 0), (1, 0, 0))
    assert rows_of(AuditEvent.objects.all()) == restored


def test_rows_of_other_tables_are_repeated_if_asked_for(tenant: Tenant) -> None:
    webhook, _ = Webhook.objects.register(
        company=tenant.company, url="https://example.com/", description="of ada@example.com"
    )
    before = rows_of(Webhook.objects.all())
    erasure = erased(tenant.company)
    assert ErasedRow.objects.get().replaced == {"description": [0]}
    put_back(Webhook, before)
    assert not replay()[0].changed
    (one,) = replay(every_table=True, dry_run=True)
    assert one.rows == 1
    (one,) = replay(every_table=True)
    assert (one.rows, one.rows_absent) == (1, 0)
    assert Webhook.objects.get(pk=webhook.pk).description == erasure.pseudonym
    assert not replay(every_table=True)[0].changed


def test_rows_that_stand_as_they_must_are_left_alone_though_numbers_have_moved(tenant: Tenant) -> None:
    job, _ = enqueue("webhook.replay", {"zoe": 1, "ada@example.com": 2, "bob": 3}, company=tenant.company, now=NOON)
    erasure = erased(tenant.company)
    after = Job.objects.get(pk=job.pk).payload
    assert after == {"zoe": 1, erasure.pseudonym: 2, "bob": 3}
    replay(every_table=True)  # the job's log says that it was cancelled, and is emptied
    assert not any(one.changed for one in replay(every_table=True))
    assert Job.objects.get(pk=job.pk).payload == after


def test_a_number_that_now_is_the_key_of_another_company_s_row_means_none(tenant: Tenant, other_tenant: Tenant) -> None:
    mine, _ = Webhook.objects.register(
        company=tenant.company, url="https://example.com/", description="of ada@example.com"
    )
    erased(tenant.company)
    mine.refresh_from_db()
    Webhook.objects.filter(pk=mine.pk).update(company=other_tenant.company, description="of somebody else")
    (one,) = replay(every_table=True)
    assert (one.rows, one.rows_absent) == (0, 1)
    assert Webhook.objects.get(pk=mine.pk).description == "of somebody else"


def test_a_number_that_was_given_once_more_after_the_erasure_is_another_row(tenant: Tenant) -> None:
    webhook, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    user = get_user_model().objects.create(username="op")
    kind = ContentType.objects.get_for_model(Webhook)
    known = {"user": user, "content_type": kind, "object_id": str(webhook.pk), "action_flag": CHANGE}
    entry = LogEntry.objects.create(**known, object_repr="of ada@example.com")
    before = rows_of(LogEntry.objects.all())
    erasure = erased(tenant.company)
    put_back(LogEntry, before)
    assert [(one.rows, one.rows_absent) for one in replay(every_table=True)] == [(1, 0)]
    assert LogEntry.objects.get().object_repr == erasure.pseudonym
    LogEntry.objects.filter(pk=entry.pk).update(object_repr="of somebody else", action_time=timezone.now())
    assert [(one.rows, one.rows_absent) for one in replay(every_table=True)] == [(0, 1)]
    assert LogEntry.objects.get().object_repr == "of somebody else"


def completed_by(one: Repeated) -> Erasure:
    assert one.completed
    return Erasure.objects.get(pk=one.known.erasure_id)


def test_an_erasure_that_the_database_does_not_know_is_known_again(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/", description="of ada@example.com")
    tenant.record(draft(**OF_ADA))
    before, webhooks = everything(tenant), rows_of(Webhook.objects.all())
    erasure = erased(tenant.company)
    erasure.approvals.all().delete()
    ErasureApproval.objects.create(
        company=tenant.company, erasure=erasure, user_id=7, approved_by="olga", at=erasure.created_at
    )
    ledger.write(erasure)
    put_back_events(before)
    put_back(Webhook, webhooks)
    for rows in (ErasedRow, ErasureApproval, Erasure):
        rows.objects.all().delete()
    made = completed_by(replay()[0])
    assert (made.status, made.subject, made.key, made.pseudonym) == ("COMPLETED", None, "", erasure.pseudonym)
    assert (made.requested_by, made.created_at, made.due_at, made.counts) == (
        UNKNOWN_NAME,
        erasure.created_at,
        erasure.due_at,
        erasure.counts,
    )
    assert [(one.user_id, one.approved_by) for one in made.approvals.all()] == [(7, UNKNOWN_NAME)]
    assert ErasedRow.objects.get().replaced == {"description": [0]}
    assert Webhook.objects.get().description == erasure.pseudonym
    assert made.certificate
    assert made.certificate["body"]["repeatedAt"]
    records = [record.pk for record in erasing.records_of(tenant.company)]
    assert [record["eventId"] for record in made.certificate["body"]["records"]] == [str(pk) for pk in records]
    assert not replay()[0].changed


@pytest.mark.parametrize("status", ["REQUESTED", "REJECTED"])
def test_one_that_was_not_yet_decided_when_the_backup_was_made_forgets_the_person(tenant: Tenant, status: str) -> None:
    tenant.record(draft(**OF_ADA))
    before = everything(tenant)
    erasure = erased(tenant.company)
    put_back_events(before)
    decided = {"rejected_at": NOON, "rejected_by": "x", "rejection": "No."} if status == "REJECTED" else {}
    undone = {"status": status, "subject": ADA.as_json(), "key": "k", "completed_at": None, "certificate": None}
    Erasure.objects.filter(pk=erasure.pk).update(**undone, **decided, reason="ada@example.com asked for it")
    (one,) = replay()
    made = completed_by(one)
    assert (one.status, made.status, made.subject, made.key) == (status, "COMPLETED", None, "")
    assert made.reason == made.pseudonym
    assert made.certificate
    assert not replay()[0].changed


@pytest.mark.parametrize("status", ["APPROVED", "PROCESSING", "FAILED"])
def test_one_that_has_a_job_is_completed_by_it(tenant: Tenant, status: str) -> None:
    tenant.record(draft(**OF_ADA))
    before = everything(tenant)
    erasure = erased(tenant.company)
    put_back_events(before)
    undone = {"status": status, "subject": ADA.as_json(), "key": "k", "completed_at": None, "certificate": None}
    Erasure.objects.filter(pk=erasure.pk).update(**undone)
    (one,) = replay()
    assert (one.events, one.completed, one.status) == (1, False, status)
    assert Erasure.objects.get(pk=erasure.pk).subject == ADA.as_json()
    assert faults(tenant.company) == []


def test_erasures_of_which_only_records_are_left_are_repeated(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(**OF_ADA))
    before = everything(tenant)
    erasure = erased(tenant.company)
    for rows in (ErasureApproval, Erasure):
        rows.objects.all().delete()
    put_back_events(before)
    (one,) = replay(ledgers=False)
    assert (one.status, one.completed, figures(one)) == (None, False, (1, 0, 0))
    after = AuditEvent.objects.get(pk=event.pk)
    assert not ADA.matches([after.actor, after.payload])
    assert erasure.pseudonym not in str(after.payload)
    assert all("which nobody here approved" in fault for fault in faults(tenant.company))
    assert not replay(ledgers=False)[0].changed


def test_a_company_that_is_not_in_the_database_is_told(tenant: Tenant) -> None:
    tenant.record(draft(**OF_ADA), draft(**OF_ADA))
    content = content_of_another_company(erased(tenant.company))
    with gathering() as gathered:
        header = gathered.take_ledger(io.BytesIO(content), name="a.ndjson")
        (one,) = Replay(gathered, timezone.now).run()
    assert (one.known.erasure_id, one.status, figures(one)) == (header.erasure_id, None, (0, 0, 2))
    assert not one.changed


def content_of_another_company(erasure: Erasure) -> bytes:
    """The ledger of an erasure as if it were one of a company that this database does not have."""
    with storage.open_file(ledger.name_of(erasure.pk)) as file:
        lines = lines_of(file.read())
    lines[0] |= {"companyId": str(uuid.UUID(int=7)), "erasureId": str(uuid.UUID(int=8))}
    return signed(lines)
