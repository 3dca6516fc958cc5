"""What an erasure waits for: legal holds, rows that are being worked on, and a busy chain."""

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from audit import erasing
from audit.models import company
from gdpr.erasures import batching, holds, ledger
from gdpr.erasures import erasing as engine
from gdpr.models import ErasedRow, Erasure
from gdpr.subjects import Subject
from jobs.context import JobContext, Stopped
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job, JobLog, WorkerProcess
from jobs.running import watch_over
from tests.conftest import NOON, Tenant, draft, open_tenant
from tests.gdpr.erasures.engine import ADA, approved, faults, run
from tests.gdpr.test_purging_for_erasures import archive_of
from tests.jobs.steps import claim as claim_job
from tests.jobs.steps import never
from tests.system import wait_until
from tests.threads import begin, begin_until_it_waits
from tests.webhooks.steps import claim, depart
from webhooks import settling
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery
from webhooks.policy import Verdict
from webhooks.sending.outcome import Kind, Outcome


@pytest.fixture(autouse=True)
def soon(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)
    for module in (engine, batching):
        monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(engine, "PATIENCE", 2)


@pytest.fixture
def acme(committed: None) -> Tenant:
    return open_tenant("Acme")


@pytest.fixture
def claimer() -> ProcessLease:
    return ProcessLease(queues=["jobs", "exports"])


def record(tenant: Tenant, **fields: Any) -> Any:
    return tenant.record(draft(**({"actor": {"id": "ada"}} | fields)))[0]


def said(erasure: Erasure) -> list[str]:
    return list(JobLog.objects.filter(job=erasure.job).order_by("id").values_list("text", flat=True))


def hold(tenant: Tenant, person: Subject | None = ADA) -> Any:
    return holds.place(company=tenant.company, subject=person, reason="a claim", placed_by="op", now=NOON)


def test_a_hold_that_was_placed_before_keeps_it_from_beginning(tenant: Tenant) -> None:
    event = record(tenant)
    erasure, held = approved(tenant.company), hold(tenant)
    job = run(erasure, attempts=3)
    assert (job.status, job.attempt, erasure.status) == ("PENDING", 0, "APPROVED")
    assert said(erasure) == [f"Legal hold {held.pk} keeps what is to be erased; this waits until it is lifted."]
    holds.lift(held, lifted_by="op", now=NOON)
    assert run(erasure).status == "COMPLETED"
    event.refresh_from_db()
    assert not ADA.matches(event.actor)


def test_of_a_batch_during_which_a_hold_is_placed_nothing_is_committed(acme: Tenant) -> None:
    webhook, _ = Webhook.objects.register(company=acme.company, url="https://example.com/", description="ada")
    events = [record(acme), record(acme)]
    erasure = approved(acme.company)
    with transaction.atomic():
        acme.company.system_workspace.chain_head.lock()
        erasing_it = begin_until_it_waits(lambda: run(erasure))
        held = hold(acme)
    erasing_it.join()
    for row in (erasure, webhook, *events):
        row.refresh_from_db()
    assert (erasure.status, erasure.counts) == ("PROCESSING", {})
    assert erasure.job
    assert Job.objects.get(pk=erasure.job.pk).status == "PENDING"
    assert webhook.description == "ada"
    assert all(event.actor == {"id": "ada"} and event.actor_salt for event in events)
    assert not ErasedRow.objects.exists()
    assert not erasing.records_of(acme.company).exists()
    assert [line for line in said(erasure) if str(held.pk) in line]
    holds.lift(held, lifted_by="op", now=NOON)
    assert run(erasure).status == "COMPLETED"
    webhook.refresh_from_db()
    assert webhook.description == erasure.pseudonym
    assert faults(acme.company) == []


def test_a_hold_that_comes_last_of_all_keeps_it_from_being_completed(acme: Tenant) -> None:
    erasure = approved(acme.company)
    with transaction.atomic():
        acme.company.system_workspace.chain_head.lock()
        erasing_it = begin_until_it_waits(lambda: run(erasure))
        held = hold(acme)
    erasing_it.join()
    erasure.refresh_from_db()
    assert (erasure.status, erasure.person(), erasure.certificate) == ("PROCESSING", ADA, None)
    holds.lift(held, lifted_by="op", now=NOON)
    assert run(erasure).status == "COMPLETED"


def test_a_hold_of_somebody_else_holds_nothing(tenant: Tenant) -> None:
    hold(tenant, Subject(actor_ids=("eve",)))
    assert run(approved(tenant.company)).status == "COMPLETED"


def test_a_row_that_names_a_person_on_hold_too_is_kept_with_what_follows_it(acme: Tenant) -> None:
    """The erasure is asked for by the id, and the hold by the address: only the event tells that they are one."""
    Webhook.objects.register(company=acme.company, url="https://example.com/", events=["user.*"])
    alone = record(acme)
    settling.settle([answer(sent(), b"Welcome")])
    both = record(acme, actor={"id": "ada", "email": "ada@example.com"})
    settling.settle([answer(sent(), b"Welcome, Countess of Lovelace")])
    held = hold(acme, Subject(emails=("ada@example.com",)))
    erasure = approved(acme.company, Subject(actor_ids=("ada",)))
    job = run(erasure)
    for event in (alone, both):
        event.refresh_from_db()
    assert (job.status, erasure.status) == ("PENDING", "PROCESSING")
    assert said(erasure) == [f"Legal hold {held.pk} keeps what is to be erased; this waits until it is lifted."]
    assert both.actor == {"id": "ada", "email": "ada@example.com"}
    assert both.actor_salt
    assert WebhookAttempt.objects.get(delivery__event=both).response_body == "Welcome, Countess of Lovelace"
    holds.lift(held, lifted_by="op", now=NOON)
    assert run(erasure).status == "COMPLETED"
    assert WebhookAttempt.objects.get(delivery__event=both).response_body == ""
    assert faults(acme.company) == []


def test_a_row_that_nothing_follows_is_kept_by_a_hold_as_well(tenant: Tenant) -> None:
    url = "https://example.com/ada@example.com"
    webhook, _ = Webhook.objects.register(company=tenant.company, url=url, description="ada")
    held = hold(tenant, Subject(emails=("ada@example.com",)))
    erasure = approved(tenant.company, Subject(actor_ids=("ada",)))
    assert run(erasure).status == "PENDING"
    webhook.refresh_from_db()
    assert (webhook.description, erasure.counts) == ("ada", {})
    holds.lift(held, lifted_by="op", now=NOON)
    assert run(erasure).status == "COMPLETED"
    webhook.refresh_from_db()
    assert webhook.description == erasure.pseudonym


def test_an_archive_that_was_kept_while_a_hold_came_and_went_is_purged(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, kept = ledger.write, list[Any]()

    def write(erasure: Erasure) -> None:
        written(erasure)
        if not kept:
            kept.append(archive_of(tenant.company))

    monkeypatch.setattr(ledger, "write", write)
    erasure = approved(tenant.company)
    job = run(erasure)
    (archive,) = kept
    archive.refresh_from_db()
    assert (erasure.status, archive.status) == ("COMPLETED", "EXPIRED")
    assert job.result
    assert job.result["archives"] == 1


def test_it_waits_while_the_chain_is_busy(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "PATIENCE", "50ms")
    waited, wait = threading.Event(), JobContext.wait

    def observed(context: JobContext, seconds: float) -> None:
        waited.set()
        wait(context, seconds)

    monkeypatch.setattr(JobContext, "wait", observed)
    record(acme)
    erasure = approved(acme.company)
    with transaction.atomic():
        acme.company.system_workspace.chain_head.lock()
        erasing_it = begin(lambda: run(erasure))
        assert waited.wait(30)
    erasing_it.join()
    erasure.refresh_from_db()
    assert (erasure.status, erasure.counts) == ("COMPLETED", {"audit_auditevent": 1})


def test_a_deadlock_is_ended_by_doing_the_batch_again(acme: Tenant) -> None:
    """By whoever waited first, which is the erasure: it holds a row, and waits for the chain."""
    webhook, _ = Webhook.objects.register(company=acme.company, url="https://example.com/", description="ada")
    erasure = approved(acme.company)
    with transaction.atomic():
        acme.company.system_workspace.chain_head.lock()
        erasing_it = begin_until_it_waits(lambda: run(erasure))
        Webhook.objects.filter(pk=webhook.pk).update(description="still ada@example.com")
    erasing_it.join()
    for row in (erasure, webhook):
        row.refresh_from_db()
    assert (erasure.status, erasure.counts) == ("COMPLETED", {"webhooks_webhook": 1})
    assert webhook.description == erasure.pseudonym


def answer(departure: Any, body: bytes) -> settling.Settlement:
    """What a receiver answered that has the person's data."""
    outcome = Outcome(Kind.DELIVERED, status=200, body=body)
    verdict = Verdict(WebhookDelivery.Status.SUCCESS, None, 0)
    return settling.Settlement(departure.claimed, departure.attempt, departure.url, outcome, verdict, NOON)


def sent() -> Any:
    """A delivery that is on the wire."""
    (claimed,) = claim(process=WorkerProcess.objects.register(queues=[]).id, limit=1, now=NOON)
    (departure,) = depart([claimed], now=NOON)
    return departure


def test_an_answer_that_comes_while_it_erases_is_erased(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PATIENCE", 10_000)
    Webhook.objects.register(company=acme.company, url="https://example.com/", events=["user.*"])
    event = record(acme)
    departure, erasure = sent(), approved(acme.company)
    erasing_it = begin(lambda: run(erasure))
    wait_until(erasing.records_of(acme.company).exists, seconds=30, what="the event is erased")
    settling.settle([answer(departure, b"Welcome, Countess of Lovelace")])
    erasing_it.join()
    attempt = WebhookAttempt.objects.get(delivery__event=event)
    erasure.refresh_from_db()
    assert (attempt.result, attempt.http_status, attempt.response_body) == ("delivered", 200, "")
    assert erasure.status == "COMPLETED"


def test_it_gives_its_place_to_others_where_that_takes_long(acme: Tenant) -> None:
    Webhook.objects.register(company=acme.company, url="https://example.com/", events=["user.*"])
    record(acme)
    departure, erasure = sent(), approved(acme.company)
    job = run(erasure)
    assert (job.status, job.attempt, erasure.status) == ("PENDING", 0, "PROCESSING")
    assert said(erasure) == [
        "Some rows are being worked on (webhooks_webhookattempt, webhooks_webhookdelivery); this waits for them."
    ]
    settling.settle([answer(departure, b"Welcome, Countess of Lovelace")])
    assert run(erasure).status == "COMPLETED"
    assert WebhookAttempt.objects.get().response_body == ""


def test_a_job_about_the_person_is_ended_before_it_is_erased(acme: Tenant, claimer: ProcessLease) -> None:
    job, _ = enqueue("email.send", {"to": "ada@example.com", "subject": "Hi", "text": "…"}, company=acme.company)
    claimed = claim_job(claimer, now=job.run_at)
    erasure = approved(acme.company)
    assert run(erasure).status == "PENDING"
    claimed.complete({"sent": True})
    assert run(erasure).status == "COMPLETED"
    job.refresh_from_db()
    assert not ADA.matches([job.payload, job.result])


def test_a_worker_that_lost_its_claim_changes_nothing(acme: Tenant, claimer: ProcessLease) -> None:
    event, erasure = record(acme), approved(acme.company)
    job = claim_job(claimer, now=timezone.now(), queue="exports")
    assert erasure.begin(now=NOON)
    stale = JobContext(job, watch=watch_over(job, stopping=never, clock=timezone.now))
    Job.objects.filter(pk=job.pk).update(claim_token=uuid.uuid4())
    with pytest.raises(Stopped):
        engine.erase(stale, erasure, clock=timezone.now)
    event.refresh_from_db()
    assert event.actor == {"id": "ada"}
    assert not erasing.records_of(acme.company).exists()
