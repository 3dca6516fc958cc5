"""An approved erasure without the way there, and the steps of its job."""

from typing import Any

import pytest
from django.utils import timezone

from audit import personal_data
from audit.models import AuditEvent, Company
from audit.personal_data import Erasable
from audit.verification import verify
from gdpr.erasures.requesting import ERASE
from gdpr.models import Erasure, ErasureApproval
from gdpr.requesting import scope_key
from gdpr.subjects import Subject
from jobs.enqueueing import enqueue
from jobs.models import Job
from jobs.testing import run_enqueued
from webhooks.models import WebhookAttempt

ADA = Subject(actor_ids=("ada",), emails=("ada@example.com",))
BOB = Subject(actor_ids=("bob",), emails=("bob@example.com",))
SEALED = (
    *("actor_salt", "actor_commitment", "actor_fresh_salt", "prev_hash", "hash"),
    *("content_salt", "content_commitment", "content_fresh_salt"),
)
EVENTS = Erasable(
    AuditEvent, proved={"category": "hashed", "action": "hashed"}, kept=dict.fromkeys(SEALED, "of the chain")
)
ATTEMPTS = Erasable(
    WebhookAttempt,
    follows="delivery_id",
    kept={"result": "a word", "kind": "a word", "body_sha256": "a fingerprint"},
    emptied={"response_headers": {}, "response_body": ""},
)


def declare(monkeypatch: pytest.MonkeyPatch, *tables: Erasable) -> None:
    monkeypatch.setattr(personal_data, "_erasable", list(tables))


def asked(company: Company, person: Subject = ADA, **fields: Any) -> Erasure:
    """An erasure that was approved, and has no job yet."""
    now = timezone.now()
    said = {"reason": "They asked.", "requested_by": "a test", "created_at": now, "due_at": now} | fields
    whom = {"subject": person.as_json(), "key": scope_key(person)}
    erasure = Erasure.objects.create(company=company, status="APPROVED", **said, **whom)
    for user_id in (1, 2):
        ErasureApproval.objects.create(company=company, erasure=erasure, user_id=user_id, approved_by="op", at=now)
    return erasure


def approved(company: Company, person: Subject = ADA, **fields: Any) -> Erasure:
    """An erasure whose job waits."""
    return enqueued(asked(company, person, **fields))


def enqueued(erasure: Erasure) -> Erasure:
    payload, key = {"erasureId": str(erasure.pk)}, str(erasure.pk)
    job, _ = enqueue(ERASE, payload, company=erasure.company, key=key, now=timezone.now())
    Erasure.objects.filter(pk=erasure.pk).update(job=job)
    erasure.refresh_from_db()
    return erasure


def run(erasure: Erasure, *, attempts: int = 1) -> Job:
    assert erasure.job
    job = run_enqueued(erasure.job, attempts=attempts)
    erasure.refresh_from_db()
    return job


def erased(company: Company, person: Subject = ADA) -> Erasure:
    """Erase a person; the erasure that is completed."""
    erasure = approved(company, person)
    job = run(erasure)
    assert job.status == Job.Status.COMPLETED, job.error + job.traceback
    return erasure


def faults(company: Company) -> list[str]:
    return [str(fault) for workspace in company.workspaces.all() for fault in verify(workspace)]
