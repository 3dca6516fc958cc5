"""An erasure that fails for good: what becomes of it, who is told, and that it goes on where it is retried."""

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AuditEvent
from gdpr.erasures import naming
from gdpr.erasures.requesting import ERASE
from gdpr.models import Erasure
from gdpr.subjects import Subject
from jobs.enqueueing import enqueue
from jobs.models import Job, JobLog
from jobs.registry import handler_of
from jobs.testing import run_enqueued
from tests.conftest import Tenant, draft
from tests.gdpr.erasures.engine import ADA, approved, erased, faults, run
from tests.gdpr.making import alter
from webhooks.models import Webhook


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_STORAGE = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def mistaken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if the rules of what is replaced did not know a value that the search does."""
    monkeypatch.setattr(naming, "in_event", lambda *_: {})
    return monkeypatch


@pytest.fixture
def failed(tenant: Tenant, mistaken: pytest.MonkeyPatch) -> Erasure:
    tenant.company.contact_email = "dpo@example.org"
    tenant.company.save()
    Webhook.objects.register(company=tenant.company, url="https://example.com/", description="Tells ada@example.com.")
    tenant.record(draft(actor={"id": "ada"}, payload={"to": "ada@example.com"}))
    erasure = approved(tenant.company)
    job = run(erasure, attempts=handler_of(ERASE).max_attempts)
    assert job.status == Job.Status.FAILED
    return erasure


def test_it_is_failed_and_what_it_had_erased_stays_erased(failed: Erasure) -> None:
    assert (failed.status, failed.counts) == ("FAILED", {"webhooks_webhook": 1})
    assert failed.person() == ADA
    assert failed.job
    assert failed.job.error.endswith("the operators of HyreLog see the details. (StillNamed)")
    assert faults(failed.company) == []


def test_the_company_is_told_without_the_person(failed: Erasure) -> None:
    assert failed.job
    (told,) = AuditEvent.objects.filter(action="gdpr.erasure.failed")
    assert told.payload == {"erasureId": str(failed.pk), "reason": failed.job.error}
    mail = Job.objects.get(type="email.send")
    assert mail.payload["to"] == "dpo@example.org"
    assert str(failed.pk) in mail.payload["text"]
    rows = Job.objects.values_list("payload", "result", "error", "traceback", "step", "key")
    assert not ADA.matches([*map(list, rows), list(JobLog.objects.values_list("text", flat=True))])


def test_retried_by_an_operator_it_goes_on(failed: Erasure, mistaken: pytest.MonkeyPatch) -> None:
    mistaken.undo()
    assert Job.objects.filter(erasure=failed).retry(now=timezone.now())
    assert failed.job
    failed.job.refresh_from_db()
    assert run(failed).status == "COMPLETED"
    assert (failed.status, failed.subject) == ("COMPLETED", None)
    assert failed.counts == {"audit_auditevent": 1, "webhooks_webhook": 1}


def test_while_the_storage_is_away_it_waits_however_long_and_says_so_once(tenant: Tenant, folder: Path) -> None:
    folder.write_text("in the way")
    tenant.record(draft(actor={"id": "ada"}))
    erasure = approved(tenant.company)
    assert erasure.job
    for _ in range(handler_of(ERASE).max_attempts + 1):
        job = run(erasure)
        assert (job.status, job.attempt, job.step) == ("PENDING", 0, "waiting for the storage of archives")
    said = JobLog.objects.filter(job=erasure.job).values_list("text", flat=True)
    assert list(said) == [
        "The storage of archives failed; this goes on once it works again. The operators see the details."
    ]
    folder.unlink()
    assert run(erasure).status == "COMPLETED"


def test_retried_after_another_one_has_erased_the_person_it_leaves_what_that_did(
    failed: Erasure, tenant: Tenant, mistaken: pytest.MonkeyPatch
) -> None:
    mistaken.undo()
    other = erased(tenant.company, Subject(actor_ids=("ada",)))
    failed.refresh_from_db()
    assert failed.person() == ADA
    (event,) = tenant.record(draft(actor={"id": other.pseudonym}, payload={"to": "ada@example.com"}))
    assert Job.objects.filter(erasure=failed).retry(now=timezone.now())
    assert failed.job
    failed.job.refresh_from_db()
    assert run(failed).status == "COMPLETED"
    event.refresh_from_db()
    assert (event.actor, event.payload) == ({"id": other.pseudonym}, {"to": failed.pseudonym})


def test_an_event_that_was_tampered_with_is_erased_all_the_same(tenant: Tenant) -> None:
    (event,) = tenant.record(draft(actor={"id": "bob"}))
    alter(event, actor={"id": "ada"})
    assert run(approved(tenant.company)).status == "COMPLETED"
    event.refresh_from_db()
    assert not ADA.matches(event.actor)


def test_what_cannot_be_erased_is_never_certified(failed: Erasure) -> None:
    assert failed.certificate is None
    assert failed.job
    assert "They are in audit_auditevent." in failed.job.traceback
    assert not ADA.matches([failed.job.error, failed.job.traceback])


def test_a_job_of_an_erasure_that_is_not_there_fails_without_one(tenant: Tenant) -> None:
    job, _ = enqueue(ERASE, {"erasureId": "00000000-0000-0000-0000-000000000000"}, company=tenant.company)
    assert run_enqueued(job, attempts=5).status == Job.Status.FAILED
    assert not AuditEvent.objects.filter(action="gdpr.erasure.failed").exists()
