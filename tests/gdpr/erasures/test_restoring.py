"""The whole of it: a real backup, a real erasure, a real restore, and the command."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.models import AuditEvent, Company
from gdpr.models import Erasure
from gdpr.requesting import request_export
from jobs.enqueueing import enqueue
from tests.conftest import NOON, Tenant, draft, open_tenant
from tests.gdpr.erasures.dumps import EVENTS_ALONE, dump, put_events_back, restore
from tests.gdpr.erasures.engine import ADA, erased
from tests.gdpr.erasures.restoring import faults
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery

IDENTIFIERS = ("ada@example.com", '"ada"', "Countess")


@pytest.fixture
def lived(committed: None, settings: Any, tmp_path: Path) -> Tenant:
    """A company in whose tables a person is named wherever that may be."""
    settings.EXPORT_STORAGE = str(tmp_path)
    tenant = open_tenant("Acme")
    company = tenant.company
    Webhook.objects.register(company=company, url="https://example.com/", description="of ada@example.com")
    events = tenant.record(
        draft(actor={"id": "ada", "email": "ada@example.com"}),
        draft(actor={"id": "bob"}, payload={"to": ["ada@example.com"], "ada": 1}),
        draft(actor={"id": "bob"}),
    )
    for number, delivery in enumerate(WebhookDelivery.objects.filter(event=events[0]), 1):
        WebhookAttempt.objects.create(
            company=company,
            delivery=delivery,
            number=number,
            url="https://example.com/",
            started_at=NOON,
            result="delivered",
            response_body="Hello, Countess!",
        )
    enqueue("webhook.replay", {"to": "ada@example.com"}, company=company, now=timezone.now())
    request_export(company=company, scope="subject", subject=ADA, requested_by="a test", now=timezone.now())
    return tenant


def named() -> list[str]:
    """The identifiers that stand anywhere in the database."""
    backup = dump("--data-only")
    return [identifier for identifier in IDENTIFIERS if identifier in backup]


def replay_erasures(*arguments: str) -> str:
    out = io.StringIO()
    call_command("replay_erasures", *arguments, stdout=out)
    return out.getvalue()


def test_whom_a_restore_brings_back_is_erased_once_more(lived: Tenant) -> None:
    company, backup, events_alone = lived.company, dump("--clean", "--if-exists"), dump(*EVENTS_ALONE)
    assert named() == list(IDENTIFIERS)
    erasure = erased(company)
    assert named() == []
    values = list(AuditEvent.objects.filter(workspace=lived.workspace).order_by("pk").values_list("actor", "payload"))

    restore(backup)
    assert named() == list(IDENTIFIERS)
    assert not Erasure.objects.exists()
    told = replay_erasures("--dry-run")
    assert "2 events to be repeated" in told
    assert "1 erasures, 1 to be repeated; nothing was changed." in told
    assert named() == list(IDENTIFIERS)

    told = replay_erasures()
    assert "2 events repeated, 0 as they must be" in told
    assert "was not known here, and is completed by its ledger" in told
    assert named() == []
    assert faults(company) == []
    after = AuditEvent.objects.filter(workspace=lived.workspace).order_by("pk")
    assert list(after.values_list("actor", "payload")) == values
    again = Erasure.objects.get()
    assert (again.pk, again.status, again.counts) == (erasure.pk, "COMPLETED", erasure.counts)
    _nothing_is_left_to_do(company)

    put_events_back(events_alone)
    assert len([fault for fault in faults(company) if "replay_erasures" in fault]) >= 2
    assert "2 events repeated" in replay_erasures()
    assert named() == []
    assert faults(company) == []
    _nothing_is_left_to_do(company)


def _nothing_is_left_to_do(company: Company) -> None:
    before = AuditEvent.objects.filter(company=company).count()
    assert "1 erasures, 0 repeated." in replay_erasures()
    assert AuditEvent.objects.filter(company=company).count() == before
