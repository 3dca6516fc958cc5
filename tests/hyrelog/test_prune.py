from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditEvent, IdempotencyRecord
from hyrelog import checks, housekeeping
from tests.api import Api
from tests.conftest import Tenant, draft
from webhooks import retention
from webhooks.models import Webhook, WebhookDelivery


def run() -> list[str]:
    said = StringIO()
    call_command("prune", stdout=said)
    return said.getvalue().splitlines()


def test_prune_goes_on_until_nothing_is_left_and_says_how_many_of_each_ended(
    tenant: Tenant, workspace_api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 1)
    monkeypatch.setattr(retention, "BATCHES", 1)
    webhook, _ = Webhook.objects.register(company=tenant.company, url="https://example.com/")
    workspace_api.post("/v1/key/workspace/events", {"action": "a", "category": "b"}, **{"Idempotency-Key": "1"})
    tenant.record(draft(), draft())
    webhook.delete_softly(now=timezone.now())
    later = timezone.now() + timedelta(days=100)
    monkeypatch.setattr(timezone, "now", lambda: later)
    said = run()
    assert "idempotency_records: 1" in said
    assert "webhook_deliveries: 3" in said
    assert [line.split(":")[0] for line in said] == list(housekeeping.STEPS)
    assert not WebhookDelivery.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    assert AuditEvent.objects.filter(workspace=tenant.workspace).count() == 3  # events are nobody's to prune
    assert run() == [f"{name}: 0" for name in housekeeping.STEPS]


def test_a_step_that_fails_is_named_once_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [3, 2]

    def fail(now: datetime) -> int:
        raise OSError(13, "Permission denied")

    steps: dict[str, Callable[[datetime], int]] = {"first": fail, "second": lambda now: left.pop() if left else 0}
    monkeypatch.setattr(housekeeping, "STEPS", steps)
    said = StringIO()
    with pytest.raises(CommandError, match=r"^first: failed"):
        call_command("prune", stdout=said)
    assert said.getvalue().splitlines() == ["first: 0", "second: 5"]


def test_attempts_that_would_outlive_their_deliveries_are_refused_with_a_hint(settings: Any) -> None:
    settings.WEBHOOK_ATTEMPT_RETENTION_DAYS, settings.WEBHOOK_RETENTION_DAYS = 31, 30
    (problem,) = checks.retention()
    assert (problem.id, problem.is_serious()) == ("hyrelog.E003", True)
    assert "WEBHOOK_ATTEMPT_RETENTION_DAYS=31 is more than WEBHOOK_RETENTION_DAYS=30" in problem.msg
    assert problem.hint
    settings.WEBHOOK_RETENTION_DAYS = 31
    assert list(checks.retention()) == []
