"""Erasures as far as exports and archives meet them: events erased and recorded, and requests that are at work."""

import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit import erasing
from audit.erasing import Replacement
from audit.models import AuditEvent, Company
from gdpr.models import Erasure
from jobs.models import Job
from tests.conftest import NOON

PSEUDONYM = "erased-0123456789abcdef"


@transaction.atomic
def erase(*events: AuditEvent, erasure_id: uuid.UUID | None = None, **values: Any) -> AuditEvent:
    """Replace columns of events, the actor if none is said, and record it; the record."""
    values = values or {"actor": {"id": PSEUDONYM}}
    rows = AuditEvent.objects.select_for_update().filter(pk__in=[event.pk for event in events]).order_by("pk")
    replacements = [Replacement(row, values, {column: [0] for column in values}) for row in rows]
    company = Company.objects.get(pk=events[0].company_id)
    erasure_id = erasure_id or uuid.UUID(int=1)
    return erasing.erase(company=company, erasure_id=erasure_id, replacements=replacements, now=NOON)


def at_work(company: Company, *, status: str = "PROCESSING") -> Erasure:
    """An erasure that has begun, whose job has that status."""
    claim = {"claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()} if status == "PROCESSING" else {}
    known = {"type": "gdpr.erase", "queue": "exports", "run_at": timezone.now() + timedelta(hours=1)}
    job = Job.objects.create(company=company, max_attempts=5, status=status, **known, **claim)
    return Erasure.objects.create(
        company=company,
        subject={"actorId": ["ada"]},
        key=str(uuid.uuid4()),
        reason="asked for",
        status=Erasure.Status.PROCESSING,
        requested_by="a test",
        created_at=NOON,
        due_at=NOON,
        started_at=NOON,
        job=job,
    )


def done(erasure: Erasure) -> None:
    """The erasure is completed; its event is told by whoever completes it."""
    assert erasure.complete(certificate={}, now=NOON)
    Job.objects.filter(erasure=erasure).update(status="COMPLETED", completed_at=NOON, claim_token=None, claimed_by=None)
