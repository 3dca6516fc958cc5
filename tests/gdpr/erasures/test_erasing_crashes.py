"""An erasure that is interrupted before any of its statements goes on later, as if nothing had happened."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit import erasing
from audit.models import AuditEvent, IdempotencyRecord
from gdpr.erasures import batching
from gdpr.erasures import erasing as engine
from gdpr.models import ErasedRow, Erasure
from jobs.models import Job
from tests.conftest import NOON, Tenant, draft
from tests.gdpr.erasures.engine import ADA, approved, faults, run
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

EVERY = 29
"""Statements between two that are tried; of those in between each does the same for another row."""


class Death(BaseException):
    """The process is no more: nothing that it would do then is done."""


@contextmanager
def dying_before(statement: int) -> Iterator[Counter[str]]:
    """End at so many statements, as a process does that is killed; without their effect from the last commit on."""
    count: Counter[str] = Counter()

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        count["statements"] += 1
        if count["statements"] == statement:
            raise Death
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield count


def rescued(erasure: Erasure) -> None:
    """The job is due again, as it is once the lease of its process has run out."""
    lost = {"status": "PENDING", "claim_token": None, "claimed_by": None, "run_at": timezone.now()}
    Job.objects.filter(erasure=erasure, status="PROCESSING").update(**lost)


@pytest.fixture
def erasure(tenant: Tenant, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Erasure:
    """Of a person who is named in five events, two of which were delivered, and in rows of three other tables."""
    settings.EXPORT_STORAGE = str(tmp_path)
    for module in (engine, batching):
        monkeypatch.setattr(module, "BATCH", 2)
    Webhook.objects.register(company=tenant.company, url="https://example.com/", description="ada", events=["sent"])
    tenant.record(*[draft(actor={"id": "ada"}, action=action) for action in ("sent", "sent", "a", "a", "a")])
    for delivery in WebhookDelivery.objects.all():
        told = {"url": "https://example.com/", "started_at": NOON, "result": "failed", "response_body": "Countess"}
        WebhookAttempt.objects.create(company=tenant.company, delivery=delivery, number=1, **told)
    tenant.company.add_workspace(name="ada@example.com")
    asked = {"route": "/", "key": "ada", "fingerprint": "0" * 64, "created_at": NOON}
    IdempotencyRecord.objects.create(company=tenant.company, api_key=tenant.company.api_keys.all()[0], **asked)
    return approved(tenant.company)


def outcome(erasure: Erasure) -> dict[str, Any]:
    """What an erasure leaves behind, however often it was interrupted."""
    company = erasure.company
    rows = [event.actor for event in company.events.all()] + list(company.workspaces.values_list("name", flat=True))
    return {
        "status": erasure.status,
        "counts": erasure.counts,
        "named": ADA.matches(rows),
        "answers": list(WebhookAttempt.objects.values_list("response_body", flat=True)),
        "listed": sorted(one.event_id for each in erasing.records_of(company) for one in erasing.listed_in(each)),
        "rows": sorted(ErasedRow.objects.values_list("table", "key")),
        "told": AuditEvent.objects.filter(action="gdpr.erasure.completed").count(),
        "faults": faults(company),
    }


def test_wherever_it_is_interrupted_it_ends_as_if_it_had_not_been(erasure: Erasure) -> None:
    before = transaction.savepoint()
    with dying_before(0) as count:
        assert run(erasure).status == "COMPLETED"
    calm = outcome(erasure)
    assert calm["counts"]["audit_auditevent"] == len(calm["listed"]) == 5
    assert (calm["named"], calm["answers"], calm["told"], calm["faults"]) == (False, ["", ""], 1, [])
    transaction.savepoint_rollback(before)
    for statement in range(1, count["statements"], EVERY):
        before = transaction.savepoint()
        with pytest.raises(Death), dying_before(statement):
            run(erasure)
        rescued(erasure)
        assert run(erasure).status == "COMPLETED"
        assert outcome(erasure) == calm, f"interrupted at statement {statement}"
        transaction.savepoint_rollback(before)


def test_it_ends_although_each_of_its_attempts_is_interrupted(erasure: Erasure) -> None:
    for statement in range(40, 2_000, 5):
        try:
            with dying_before(statement):
                run(erasure)
            break
        except Death:
            rescued(erasure)
            Job.objects.filter(erasure=erasure).update(attempt=0)
    assert erasure.status == "COMPLETED"
    assert faults(erasure.company) == []
    assert sum(erasure.counts.values()) == 5 + 2 + 1 + 1 + 1
