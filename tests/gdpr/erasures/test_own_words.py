"""An id is the tenant's to choose: one that is a word or an id of HyreLog's own takes nothing away from it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AuditEvent, IdempotencyRecord
from audit.personal_data import erasable
from gdpr.erasures.requesting import request_erasure
from gdpr.models import Erasure, PrivacyNotice
from gdpr.requesting import request_export
from gdpr.subjects import Subject
from jobs.enqueueing import Then, enqueue
from jobs.models import Job
from tests.conftest import NOON, Tenant
from tests.gdpr.erasures.engine import BOB, approved, erased, run
from tests.gdpr.erasures.furnished import furnish
from tests.jobs.rows import job_in
from webhooks.models import Webhook, WebhookAttempt
from webhooks.recovering import request_recovery
from webhooks.replaying import request_replay

REQUEST = {"url": "https://example.com/", "method": "POST", "headers": {"X-Of": "us"}, "json": {"of": "us"}}
PROCESS = {
    "source": {"url": "https://example.com/", "headers": {"X-Of": "us"}},
    "format": "csv",
    "delimiter": ",",
    "where": [{"field": "sum", "op": "eq", "value": "7"}],
}
Rows = dict[str, dict[Any, dict[str, Any]]]
RECORD = {"id": "0190", "seq": 1}


@pytest.fixture
def row_ids(tenant: Tenant, settings: Any, tmp_path: Any) -> list[str]:
    """A company at work, with jobs of each type that wait, and an erasure; the ids of rows that a tenant knows."""
    settings.EXPORT_STORAGE = str(tmp_path)
    company, later = tenant.company, timezone.now() + timedelta(days=1)
    furnish(tenant, "somebody")
    webhook, _ = Webhook.objects.register(
        company=company, url="https://example.com/", events=["*", "user.*"], categories=["billing", "*"]
    )
    waiting = approved(company, BOB)
    asked, _ = request_erasure(
        company=company, subject=Subject(emails=("eve@example.com",)), reason="Asked.", requested_by="them", now=NOON
    )
    then = Then("http.request", REQUEST)
    gone = {"webhookId": str(webhook.pk), "url": "u", "reason": "Gone."}
    jobs = [
        enqueue("http.request", REQUEST, company=company, then=then)[0],
        enqueue("data.process", PROCESS, company=company)[0],
        enqueue("email.send", {"to": "us@example.com", "subject": "Hello", "text": "…"}, company=company)[0],
        request_recovery(webhook=webhook, since=NOON, until=None, statuses=["FAILED", "HELD"], now=NOON),
        request_replay(webhook=webhook, since=NOON, until=later, patterns=["user.*"], now=NOON),
        job_in(tenant, job_type="webhook.disable", payload=gone),
    ]
    Job.objects.filter(pk__in=[job.pk for job in jobs]).exclude(type="email.send").update(
        result={"done": 1}, step="1 of 2"
    )
    request_export(company=company, scope="subject", subject=BOB, requested_by="them", now=NOON)
    Job.objects.filter(status="PENDING").update(run_at=later)
    WebhookAttempt.objects.update(
        request_headers={"content-type": "application/json"},
        response_headers={"server": "nginx"},
        response_body="ok",
        timing={"total": 7},
    )
    IdempotencyRecord.objects.update(route="events", answer={"events": [RECORD]})
    PrivacyNotice.objects.update(sources="CRM")
    Erasure.objects.filter(status="REJECTED").update(preview={"rows": {"jobs_job": 1}, "remaining": {}})
    found = [company, tenant.workspace, webhook, waiting, asked, *jobs]
    return [str(row.pk) for row in found]


def everything() -> Rows:
    """All rows of all tables but the events, by table and key."""
    models = [table.model for table in erasable() if table.model is not AuditEvent]
    return {model.__name__: {row["pk"]: row for row in _values(model)} for model in models}


def _values(model: Any) -> Any:
    return model._base_manager.values("pk", *(field.attname for field in model._meta.concrete_fields))


def changes(before: Rows, after: Rows) -> dict[str, Any]:
    """By table and column, what became of rows that there were."""
    rows = [(name, row, after[name].get(key, {})) for name, found in before.items() for key, row in found.items()]
    return {
        f"{name}.{column}": now.get(column)
        for name, row, now in rows
        for column in row
        if now.get(column) != row[column]
    }


WORDS = {
    "statuses and types": "COMPLETED PENDING FAILED HELD exports jobs gdpr.erase http.request events webhook.replay",
    "methods and formats": "POST GET csv eq , 1 2 a content-type server total",
    "names": "hyrelog webhook subject company system production Acme CRM billing * user.*",
    "members": "actorId rows remaining counts jobs_job erasureId webhookId statuses done text subject",
    "parameters": "method url headers json source where format value delimiter payload result reason status",
}


@pytest.mark.parametrize("words", [pytest.param(words.split(), id=name) for name, words in WORDS.items()])
def test_an_id_that_is_a_word_of_hyrelogs_own_changes_nothing(
    tenant: Tenant, row_ids: list[str], words: list[str]
) -> None:
    before = everything()
    erased(tenant.company, Subject(actor_ids=tuple(words)))
    assert changes(before, everything()) == {}


def test_an_id_that_is_that_of_a_row_changes_nothing(tenant: Tenant, row_ids: list[str]) -> None:
    before = everything()
    erased(tenant.company, Subject(actor_ids=tuple(row_ids)))
    assert changes(before, everything()) == {}
    waiting = Erasure.objects.get(status="APPROVED")
    assert waiting.job
    Job.objects.filter(pk=waiting.job.pk).update(run_at=NOON)
    assert run(waiting).status == "COMPLETED"
    assert waiting.status == "COMPLETED"
