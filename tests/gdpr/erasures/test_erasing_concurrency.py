"""Erasing while others record, erase somebody else in the same events, or go on naming the person."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Model
from django.utils import timezone

from audit.models import AuditEvent
from audit.personal_data import Erasable, erasable
from gdpr.erasures import batching, erasing
from gdpr.erasures.requesting import ERASE
from jobs import registry
from jobs.leases import ProcessLease
from jobs.models import Job, JobLog
from tests.conftest import Tenant, draft, open_tenant
from tests.gdpr.erasures.engine import ADA, BOB, approved, declare, faults, run
from tests.jobs.steps import claim
from tests.jobs.steps import run as run_claimed
from tests.threads import begin
from webhooks.models import Webhook


@pytest.fixture
def acme(committed: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    settings.EXPORT_STORAGE = str(tmp_path)
    for module in (erasing, batching):
        monkeypatch.setattr(module, "BATCH", 3)
    return open_tenant("Acme")


def record(tenant: Tenant, count: int = 1) -> None:
    """Events that name both of them, each in the other part."""
    drafts = [draft(actor={"id": "ada"}, target={"type": "user", "id": "bob"}, payload={"n": n}) for n in range(count)]
    tenant.record(*drafts)


def named(person: Any) -> int:
    return sum(person.matches([event.actor, event.target]) for event in AuditEvent.objects.all())


def test_two_people_are_erased_from_the_same_events_at_once(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = registry.handler_of(ERASE)
    monkeypatch.setitem(registry._handlers, ERASE, replace(alone, company_concurrency=None))
    record(acme, 20)
    erasures = [approved(acme.company, ADA), approved(acme.company, BOB)]
    lease = ProcessLease(queues=["exports"])
    jobs = [claim(lease, now=timezone.now(), queue="exports") for _ in erasures]
    together = threading.Barrier(2)

    def work(job: Job) -> Callable[[], object]:
        return lambda: together.wait() >= 0 and run_claimed(job)

    for thread in [begin(work(job)) for job in jobs]:
        thread.join()
    for erasure in erasures:
        erasure.refresh_from_db()
        assert (erasure.status, erasure.counts) == ("COMPLETED", {"audit_auditevent": 20})
    assert (named(ADA), named(BOB)) == (0, 0)
    assert faults(acme.company) == []


def test_who_goes_on_recording_the_person_does_not_keep_it_from_ending(acme: Tenant) -> None:
    record(acme, 20)
    before = set(AuditEvent.objects.values_list("pk", flat=True))
    erasure, over = approved(acme.company), threading.Event()

    def ingest() -> None:
        while not over.is_set():
            record(acme)

    ingesting = begin(ingest)
    try:
        job = run(erasure)
    finally:
        over.set()
        ingesting.join()
    assert (job.status, erasure.status) == ("COMPLETED", "COMPLETED"), job.traceback
    assert not any(ADA.matches(event.actor) for event in AuditEvent.objects.filter(pk__in=before))
    assert erasure.counts["audit_auditevent"] >= len(before)
    assert faults(acme.company) == []


def test_what_is_recorded_once_the_second_pass_has_begun_is_left(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    record(acme)
    goes_on = replace(declared(AuditEvent), then=lambda _, __: record(acme))
    declare(monkeypatch, *[table for table in erasable() if table.model is not AuditEvent], goes_on)
    erasure = approved(acme.company)
    assert run(erasure).status == "COMPLETED"
    assert erasure.counts == {"audit_auditevent": 2}
    assert named(ADA) == 1
    assert faults(acme.company) == []


def test_a_row_that_is_named_anew_in_each_pass_ends_it_after_some_and_that_is_said(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "MOST_PASSES", 3)
    Webhook.objects.register(company=acme.company, url="https://example.com/", description="ada")
    again = replace(declared(Webhook), then=lambda _, __: Webhook.objects.update(description="ada"))
    declare(monkeypatch, again)
    erasure = approved(acme.company)
    assert run(erasure).status == "COMPLETED"
    assert erasure.counts == {"webhooks_webhook": 3}
    said = "Rows named the person anew in each of 3 passes; they may do so again."
    assert JobLog.objects.get(job=erasure.job).text == said


def declared(model: type[Model]) -> Erasable:
    return next(table for table in erasable() if table.model is model)
