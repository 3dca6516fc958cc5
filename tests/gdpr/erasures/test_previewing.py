"""What an erasure would erase: counted as it is erased, and nothing is changed."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent, IdempotencyRecord
from audit.personal_data import erasable
from gdpr.erasures.requesting import PREVIEW, request_erasure
from gdpr.models import Erasure
from gdpr.requesting import request_export
from jobs.models import Job, JobAttempt, JobLog
from jobs.testing import run_enqueued, run_job
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.engine import ADA, approved, asked, enqueued, run
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

ROWS = 4
OF_JOBS = (Erasure, Job, JobAttempt, JobLog)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)


@pytest.fixture
def full(tenant: Tenant) -> Tenant:
    """Events of the person and of others, delivered; answers that name the person and answers that do not."""
    Webhook.objects.register(company=tenant.company, url="https://example.com/", events=["user.*"])
    tenant.record(*[draft(actor={"id": name}) for name in ("ada", "bob") for _ in range(ROWS)])
    for number, delivery in enumerate(WebhookDelivery.objects.order_by("pk")):
        body = ("", "Welcome", "ada@example.com")[number % 3]
        told = {"url": "https://example.com/", "started_at": NOON, "result": "failed", "response_body": body}
        WebhookAttempt.objects.create(company=tenant.company, delivery=delivery, number=1, **told)
    WebhookDelivery.objects.filter(event__actor__id="ada").update(error="no such user: ada@example.com")
    tenant.record(draft(action="ada", actor=None))
    tenant.company.add_workspace(name="ada")
    sent = {"route": "/", "key": "ada", "fingerprint": "0" * 64, "created_at": NOON}
    IdempotencyRecord.objects.create(company=tenant.company, api_key=tenant.company.api_keys.all()[0], **sent)
    return tenant


def previewed(tenant: Tenant, erasure: Erasure) -> Job:
    job = run_job(PREVIEW, {"erasureId": str(erasure.pk)}, company=tenant.company)
    erasure.refresh_from_db()
    return job


def test_it_counts_what_the_erasure_then_erases(full: Tenant) -> None:
    erasure = asked(full.company)
    job = previewed(full, erasure)
    assert job.status == Job.Status.COMPLETED, job.traceback
    assert erasure.previewed_at
    counted: Any = erasure.preview
    assert counted == job.result
    assert counted["rows"]["webhooks_webhookattempt"] > 0
    done = run(enqueued(erasure))
    assert done.result
    assert counted == {"rows": erasure.counts, "remaining": done.result["remaining"]}


def test_it_counts_archives_that_are_to_be_deleted(full: Tenant) -> None:
    asked_for, _ = request_export(company=full.company, scope="company", requested_by="a test", now=timezone.now())
    assert asked_for.job
    run_enqueued(asked_for.job)
    erasure = asked(full.company)
    previewed(full, erasure)
    counted: Any = erasure.preview
    assert counted["rows"]["gdpr_exportarchive"] == 1
    run(enqueued(erasure))
    assert erasure.counts == counted["rows"]
    (told,) = AuditEvent.objects.filter(action="gdpr.erasure.completed")
    assert (told.payload or {})["counts"] == erasure.counts
    assert (erasure.certificate or {})["body"]["counts"] == erasure.counts


def test_it_changes_nothing_but_the_request(full: Tenant) -> None:
    erasure = asked(full.company)
    before = everything()
    previewed(full, erasure)
    assert everything() == before


def everything() -> list[Any]:
    rows = []
    with connection.cursor() as cursor:
        for table in erasable():
            if table.model not in OF_JOBS:
                cursor.execute(f"SELECT made::text FROM {table.table} AS made ORDER BY 1")
                rows.append((table.table, cursor.fetchall()))
    return rows


def test_a_request_comes_with_a_preview_and_it_can_be_repeated(tenant: Tenant) -> None:
    erasure, _ = request_erasure(
        company=tenant.company, subject=ADA, reason="They asked.", requested_by="a test", now=NOON
    )
    previewed(tenant, erasure)
    assert erasure.preview == {"rows": {}, "remaining": {}}
    tenant.record(draft(actor={"id": "ada"}))
    previewed(tenant, erasure)
    assert erasure.preview == {"rows": {"audit_auditevent": 1}, "remaining": {}}


def test_it_needs_none_that_is_completed_or_gone(tenant: Tenant) -> None:
    erasure = approved(tenant.company)
    run(erasure)
    assert previewed(tenant, erasure).result == {}
    assert (erasure.preview, erasure.previewed_at) == (None, None)
    nobody = run_job(PREVIEW, {"erasureId": "00000000-0000-0000-0000-000000000000"}, company=tenant.company)
    assert (nobody.status, nobody.result) == (Job.Status.COMPLETED, {})


def test_another_company_s_request_is_none(tenant: Tenant, other_tenant: Tenant) -> None:
    erasure = asked(other_tenant.company)
    assert previewed(tenant, erasure).result == {}
    assert erasure.preview is None
    assert AuditEvent.objects.filter(company=tenant.company).count() == 0
