"""An erasure that meets an error which quotes the person, as Postgres quotes the row that it refuses."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from gdpr.erasures.requesting import PREVIEW
from gdpr.models import Erasure
from jobs.models import Job, JobAttempt, JobLog
from jobs.testing import run_job
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.engine import ADA, approved, asked, faults, run
from webhooks.models import Webhook

WEBHOOK: dict[str, Any] = {"url": "https://example.com/", "description": "Tells ada@example.com."}


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


@pytest.fixture
def erasure(tenant: Tenant) -> Erasure:
    tenant.record(draft(actor={"id": "ada"}, payload={"to": "ada@example.com"}))
    Webhook.objects.register(company=tenant.company, **WEBHOOK)
    return approved(tenant.company)


@pytest.fixture
def refused(erasure: Erasure) -> None:
    """The database refuses to change a webhook, and says what stands there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'"
            " USING DETAIL = 'Failing row contains ' || OLD::text, ERRCODE = 'check_violation'; END $$;"
            "CREATE TRIGGER refuse BEFORE UPDATE ON webhooks_webhook FOR EACH ROW EXECUTE FUNCTION refuse()"
        )


def accept() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse ON webhooks_webhook")


def written() -> list[Any]:
    """All that jobs say of themselves."""
    jobs = Job.objects.values_list("payload", "result", "error", "traceback", "step", "key")
    attempts = JobAttempt.objects.values_list("error", "traceback")
    return [*map(list, jobs), *map(list, attempts), *JobLog.objects.values_list("text", flat=True)]


def test_it_is_told_without_the_words_of_the_error(
    erasure: Erasure, refused: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    job = run(erasure)
    assert (job.status, job.attempt) == (Job.Status.PENDING, 1)
    assert job.error.endswith("operators of HyreLog see the details. (IntegrityError)")
    assert "batching.py" in job.traceback
    assert "ada@" not in str(written()) + caplog.text + "".join(capsys.readouterr())


def test_the_next_attempt_ends(erasure: Erasure, refused: None) -> None:
    run(erasure)
    accept()
    job = run(erasure)
    assert (job.status, erasure.status) == (Job.Status.COMPLETED, "COMPLETED"), job.error
    assert erasure.counts == {"audit_auditevent": 1, "webhooks_webhook": 1}
    assert not ADA.matches(written())
    assert faults(erasure.company) == []


def test_its_own_job_may_have_named_the_person(erasure: Erasure) -> None:
    """As after an attempt of a release that let such words pass."""
    assert erasure.job
    named = {"error": "A surprise.", "traceback": "IntegrityError: Failing row contains (1, ada@example.com)."}
    Job.objects.filter(erasure=erasure).update(result={"of": "ada@example.com"}, **named)
    ended = {"outcome": "failed", "started_at": NOON, "ended_at": NOON, "number": 1, "company": erasure.company}
    JobAttempt.objects.create(id=uuid.uuid4(), job=erasure.job, **ended, **named)
    JobLog.objects.create(job=erasure.job, company=erasure.company, attempt=1, text="It began.")
    assert run(erasure).status == Job.Status.COMPLETED
    assert erasure.counts == {"audit_auditevent": 1, "webhooks_webhook": 1}
    assert not ADA.matches(written())
    assert JobLog.objects.get(job=erasure.job).text == "It began."


def test_a_preview_is_as_silent(tenant: Tenant) -> None:
    """Its request holds what cannot be read as a subject."""
    erasure = asked(tenant.company)
    Erasure.objects.filter(pk=erasure.pk).update(subject={"email": {"ada@example.com": 1}}, created_at=timezone.now())
    run_job(PREVIEW, {"erasureId": str(erasure.pk)}, company=tenant.company)
    assert Job.objects.get(type=PREVIEW).error
    assert "ada@" not in str(written())
