"""Exports whose workers died in their last attempt: what becomes of them, of others, and what is told."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from audit.models import AuditEvent
from gdpr import telling
from gdpr.models import ExportRequest
from gdpr.requesting import request_export
from jobs import lanes
from jobs.leases import ProcessLease
from jobs.mailing import EMAIL
from jobs.models import Job
from jobs.rescuing import rescue
from tests.api import Api
from tests.conftest import Tenant, open_tenant
from tests.jobs.steps import run_next
from tests.threads import at_once


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


def ask(tenant: Tenant) -> ExportRequest:
    now = timezone.now()
    return request_export(company=tenant.company, scope="company", requested_by="a test", now=now)[0]


def events(action: str) -> list[dict[str, Any]]:
    return [event.payload or {} for event in AuditEvent.objects.filter(action=action)]


def orphaned(tenant: Tenant, *, attempt: int) -> ExportRequest:
    """A request whose job's worker has died in that attempt, of five."""
    asked = ask(tenant)
    held = {"claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()}
    Job.objects.filter(pk=asked.job_id).update(status="PROCESSING", attempt=attempt, **held)
    return asked


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def status_of(asked: ExportRequest) -> str:
    return Job.objects.get(pk=asked.job_id).status


def test_a_company_whose_chain_is_busy_keeps_no_other_s_export_from_its_rescue(
    committed: None, tenant: Tenant, other_tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.models.company.PATIENCE", "100ms")
    third, now = open_tenant("Initech"), timezone.now()
    busy, fails = orphaned(tenant, attempt=5), orphaned(other_tenant, attempt=5)
    goes_on = orphaned(third, attempt=1)
    with transaction.atomic():
        tenant.company.system_workspace.chain_head.lock()
        at_once(1, lambda: lanes.poll(["exports"], now=now))
        assert [status_of(asked) for asked in (busy, fails, goes_on)] == ["PROCESSING", "FAILED", "PENDING"]
    assert [fact["jobId"] for fact in events("gdpr.export.failed")] == [str(fails.job_id)]
    lanes.poll(["exports"], now=now)
    assert status_of(busy) == "FAILED"
    assert {fact["jobId"] for fact in events("gdpr.export.failed")} == {str(fails.job_id), str(busy.job_id)}


def test_a_death_in_the_last_attempt_after_the_archive_is_on_record_is_no_failed_export(
    api: Api, tenant: Tenant, lease: ProcessLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.company.contact_email = "dpo@acme.example"
    tenant.company.save()
    asked = ask(tenant)
    Job.objects.filter(pk=asked.job_id).update(max_attempts=1)
    monkeypatch.setattr(Job, "complete", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_next(lease, queue="exports")
    assert status_of(asked) == "PROCESSING"
    lease.give_up(lease.process_id)
    assert rescue("exports", now=timezone.now()) == 1
    assert status_of(asked) == "FAILED"
    assert events("gdpr.export.failed") == []
    (letter,) = Job.objects.filter(type=EMAIL)
    assert letter.payload["subject"] == "HyreLog: Your export is ready"
    assert api.post(f"/v1/key/company/gdpr/exports/{asked.job_id}/links").status_code == 201


def test_an_archive_that_came_to_nothing_does_not_keep_a_failure_untold(
    tenant: Tenant, lease: ProcessLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: Any, **__: Any) -> None:
        raise OperationalError

    asked = ask(tenant)
    Job.objects.filter(pk=asked.job_id).update(max_attempts=1)
    monkeypatch.setattr(telling, "told_ready", break_off)  # within the transaction that records the archive
    assert run_next(lease, queue="exports")
    assert status_of(asked) == "FAILED"
    assert len(events("gdpr.export.failed")) == 1
