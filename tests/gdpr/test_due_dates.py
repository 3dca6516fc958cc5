"""Until when a request has to be answered, and how that is put off (GDPR, Art. 12(3))."""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit.models import AuditEvent
from gdpr.models import ExportRequest
from gdpr.models.request import MOST_REASON, UnreasonedExtension, months_after
from gdpr.requesting import request_export
from gdpr.subjects import Subject
from hyrelog.ops.gauges import GAUGES
from jobs.models import Job
from tests.conftest import NOON, Tenant
from tests.gdpr.officers import archived
from tests.hyrelog.test_metrics import scrape
from tests.threads import begin_until_it_waits

WHY = "Many systems have to be asked."


def ask(tenant: Tenant, *, now: datetime = NOON, actor_id: str | None = None) -> ExportRequest:
    subject = Subject.read({"actorId": actor_id}) if actor_id else None
    scope = "subject" if actor_id else "company"
    return request_export(company=tenant.company, scope=scope, subject=subject, requested_by="a test", now=now)[0]


@pytest.mark.parametrize(
    ("asked", "months", "due"),
    [
        ((2026, 1, 15), 1, (2026, 2, 15)),
        ((2026, 1, 31), 1, (2026, 2, 28)),
        ((2028, 1, 31), 1, (2028, 2, 29)),
        ((2028, 1, 31), 3, (2028, 4, 30)),
        ((2028, 2, 29), 1, (2028, 3, 29)),
        ((2027, 11, 30), 3, (2028, 2, 29)),
        ((2026, 12, 1), 1, (2027, 1, 1)),
        ((2026, 10, 31), 3, (2027, 1, 31)),
    ],
)
def test_a_month_ends_on_the_same_day_or_on_the_last(asked: Any, months: int, due: Any) -> None:
    late = time(23, 59, 59, tzinfo=UTC)
    moment = datetime.combine(date(*asked), late)
    assert months_after(moment, months) == datetime.combine(date(*due), late)


def test_a_request_is_due_after_a_month_and_extended_after_three_from_its_receipt(tenant: Tenant) -> None:
    asked = ask(tenant)
    assert asked.due_at == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert asked.extend(reason=f"  {WHY}\n", now=asked.due_at)
    assert asked.due_at == datetime(2026, 4, 30, 12, tzinfo=UTC)
    assert (asked.extension_reason, asked.extended_at) == (WHY, datetime(2026, 2, 28, 12, tzinfo=UTC))
    event = AuditEvent.objects.get(action="gdpr.export.extended")
    expected = {"jobId": str(asked.job_id), "dueAt": "2026-04-30T12:00:00.000000Z", "reason": WHY}
    assert event.payload == expected


def test_it_is_extended_once(tenant: Tenant) -> None:
    asked, stale = ask(tenant), ExportRequest.objects.get()
    assert asked.extend(reason=WHY, now=NOON)
    assert not stale.extend(reason="And once more.", now=NOON)
    stale.refresh_from_db()
    assert stale.extension_reason == WHY
    assert AuditEvent.objects.filter(action="gdpr.export.extended").count() == 1


def test_it_is_extended_within_the_first_month_only(tenant: Tenant) -> None:
    asked = ask(tenant)
    assert not asked.extend(reason=WHY, now=asked.due_at + timedelta(microseconds=1))
    assert asked.extended_at is None


@pytest.mark.parametrize("status", ["COMPLETED", "CANCELLED"])
def test_what_is_answered_is_not_extended(tenant: Tenant, status: str) -> None:
    asked = ask(tenant)
    Job.objects.update(status=status, completed_at=NOON)
    assert not asked.extend(reason=WHY, now=NOON)


@pytest.mark.parametrize("reason", ["", " \n\t", "x" * (MOST_REASON + 1)])
def test_an_extension_has_a_reason_of_some_length(tenant: Tenant, reason: str) -> None:
    asked = ask(tenant)
    with pytest.raises(UnreasonedExtension, match="1 to 1,000 characters"):
        asked.extend(reason=reason, now=NOON)
    assert ExportRequest.objects.get().extended_at is None


def test_a_reason_may_hold_what_a_database_cannot(tenant: Tenant) -> None:
    asked = ask(tenant)
    assert asked.extend(reason=" \0\ud800" + "x" * (MOST_REASON - 2), now=NOON)
    assert len(asked.extension_reason) == MOST_REASON


def test_an_extension_is_really_committed(committed: None, tenant: Tenant) -> None:
    assert ask(tenant).extend(reason=WHY, now=NOON)
    assert ExportRequest.objects.get().extension_reason == WHY


def test_of_two_who_extend_at_once_one_does(committed: None, tenant: Tenant) -> None:
    first, second = ask(tenant), ExportRequest.objects.get()
    won: list[bool] = []
    with transaction.atomic():
        assert first.extend(reason=WHY, now=NOON)
        thread = begin_until_it_waits(lambda: won.append(second.extend(reason="Another one.", now=NOON)))
    thread.join()
    assert won == [False]
    assert ExportRequest.objects.get().extension_reason == WHY
    assert AuditEvent.objects.filter(action="gdpr.export.extended").count() == 1


def overdue(*, now: datetime) -> int:
    """By the model, and by the metric, which goes by the database's clock."""
    count = ExportRequest.objects.overdue(now=now).count()
    (gauge,) = [gauge for gauge in GAUGES if gauge.name == "hyrelog_exports_overdue"]
    with connection.cursor() as cursor:
        cursor.execute(gauge.statement)
        assert cursor.fetchone() == (count,)
    return count


def ended(job: Job, status: str) -> None:
    Job.objects.filter(pk=job.pk).update(status=status, completed_at=timezone.now(), claim_token=None, claimed_by=None)


def test_what_waits_runs_or_failed_is_overdue_and_what_was_answered_or_cancelled_is_not(tenant: Tenant) -> None:
    now = timezone.now()
    asked = ask(tenant, now=now - timedelta(days=32))
    ask(tenant, now=now, actor_id="u1")
    assert overdue(now=now) == 1
    Job.objects.filter(pk=asked.pk).update(status="PROCESSING", claim_token=uuid.uuid4(), claimed_by=uuid.uuid4())
    assert overdue(now=now) == 1
    ended(asked.job, "FAILED")
    assert overdue(now=now) == 1
    for status in ("COMPLETED", "CANCELLED"):
        ended(asked.job, status)
        assert overdue(now=now) == 0


def test_a_request_that_failed_is_answered_by_a_later_one_of_its_scope(tenant: Tenant, other_tenant: Tenant) -> None:
    now = timezone.now()
    before = now - timedelta(days=40)
    failed = ask(tenant, now=before, actor_id="u1")
    ended(failed.job, "FAILED")
    for another in (ask(tenant, now=before), ask(tenant, now=before, actor_id="u2"), ask(other_tenant, actor_id="u1")):
        ended(another.job, "COMPLETED")
    assert overdue(now=now) == 1
    again = ask(tenant, now=before, actor_id="u1")
    assert overdue(now=now) == 2
    ended(again.job, "COMPLETED")
    assert overdue(now=now) == 0


def test_what_has_an_archive_is_answered_though_its_job_failed(tenant: Tenant, tmp_path: Path, settings: Any) -> None:
    settings.EXPORT_STORAGE = str(tmp_path)
    now = timezone.now()
    failed = ask(tenant, now=now - timedelta(days=50), actor_id="u1")
    ended(failed.job, "FAILED")
    answered = ask(tenant, now=now - timedelta(days=40), actor_id="u1")
    ended(answered.job, "FAILED")
    assert overdue(now=now) == 2
    archived(answered)
    assert overdue(now=now) == 0
    assert list(ExportRequest.objects.answered()) == [answered]
    assert not answered.extendable(now=answered.created_at)


def test_an_earlier_one_does_not_answer_a_request(tenant: Tenant) -> None:
    now = timezone.now()
    ended(ask(tenant, now=now - timedelta(days=50)).job, "COMPLETED")
    ended(ask(tenant, now=now - timedelta(days=40)).job, "FAILED")
    assert overdue(now=now) == 1


@pytest.mark.django_db
def test_the_metric_is_there_while_nothing_is_overdue() -> None:
    assert scrape()["hyrelog_exports_overdue"] == 0
