"""Requests for erasures: one at a time for each person, with a reason, and with a preview."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from gdpr.erasures import requesting
from gdpr.erasures.deciding import reject
from gdpr.erasures.reasons import InvalidReason
from gdpr.erasures.requesting import PREVIEW, TooManyErasures, again, request_erasure
from gdpr.models import Erasure
from gdpr.models.erasure import MOST_REASON
from gdpr.subjects import InvalidSubject
from hyrelog.ops.gauges import GAUGES
from jobs.models import Job
from tests.conftest import NOON, Tenant
from tests.gdpr.erasures.asking import ADA, BOB, WHY, approved, ask, person, previewed, told
from tests.hyrelog.test_metrics import scrape
from tests.threads import begin_until_it_waits


def test_a_request_is_due_after_a_month_and_has_its_preview_counted(tenant: Tenant) -> None:
    erasure = ask(tenant.company)
    assert (erasure.status, erasure.reason, erasure.person()) == ("REQUESTED", WHY, person())
    assert erasure.due_at == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert (erasure.preview, erasure.job) == (None, None)
    (job,) = Job.objects.all()
    assert (job.type, job.company, job.payload) == (PREVIEW, tenant.company, {"erasureId": str(erasure.pk)})
    assert told("gdpr.erasure.requested") == [{"erasureId": str(erasure.pk), "requestedBy": "a test"}]


@pytest.mark.parametrize("reason", ["", " \n\t ", "x" * (MOST_REASON + 1)])
def test_a_request_has_a_reason_of_some_length(tenant: Tenant, reason: str) -> None:
    with pytest.raises(InvalidReason, match="it must have 1 to 1,000"):
        request_erasure(company=tenant.company, subject=person(), reason=reason, requested_by="a test", now=NOON)
    assert not Erasure.objects.exists()
    assert not Job.objects.exists()


def test_a_reason_may_hold_what_a_database_cannot(tenant: Tenant) -> None:
    reason = " \0\ud800" + "x" * (MOST_REASON - 2) + "\n"
    known: dict[str, Any] = {"company": tenant.company, "subject": person(), "requested_by": "a test", "now": NOON}
    erasure, _ = request_erasure(reason=reason, **known)
    assert Erasure.objects.get().reason == erasure.reason == "\N{REPLACEMENT CHARACTER}?" + "x" * (MOST_REASON - 2)


@pytest.mark.parametrize("pseudonym", ["erased-0123456789abcdef", "erased-0123456789abcdef-2"])
def test_a_pseudonym_cannot_be_erased(tenant: Tenant, pseudonym: str) -> None:
    with pytest.raises(InvalidSubject, match=f"has {pseudonym}, which stands in place of somebody") as refusal:
        ask(tenant.company, {"actorId": ["u1", pseudonym]})
    assert refusal.value.path == "subject.actorId"
    assert not Erasure.objects.exists()
    assert ask(tenant.company, {"actorId": ["erased", f"{pseudonym}x"]})


@pytest.mark.parametrize(
    "same", [ADA, {"email": ["ADA@example.com", "ada@example.com"], "actorId": ["u-4711", "u-4711"]}]
)
def test_while_a_request_is_open_it_answers_whoever_asks_for_the_same(tenant: Tenant, same: Any) -> None:
    first = ask(tenant.company)
    assert ask(tenant.company, same) == first
    assert len(told("gdpr.erasure.requested")) == Job.objects.count() == 1


@pytest.mark.parametrize("status", ["APPROVED", "PROCESSING", "FAILED"])
def test_so_does_one_that_waits_runs_or_failed(tenant: Tenant, status: str) -> None:
    first = approved(tenant.company)
    Erasure.objects.update(status=status)
    assert ask(tenant.company) == first


def test_another_person_and_another_company_are_other_requests(tenant: Tenant, other_tenant: Tenant) -> None:
    asked = [ask(tenant.company), ask(tenant.company, BOB), ask(other_tenant.company)]
    assert len({erasure.pk for erasure in asked}) == 3


def test_what_was_rejected_or_completed_can_be_asked_for_anew(tenant: Tenant) -> None:
    first = ask(tenant.company)
    reject(first, rejected_by="op", reason="It is not clear who this is.", now=NOON)
    second = approved(tenant.company)
    assert second != first
    assert second.begin(now=NOON)
    assert second.complete(certificate={}, now=NOON)
    assert ask(tenant.company) not in (first, second)


def test_a_company_has_so_many_open_requests_and_no_more(
    tenant: Tenant, other_tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requesting, "MOST_OPEN", 2)
    first, _ = ask(tenant.company), ask(tenant.company, BOB)
    with pytest.raises(TooManyErasures, match="which is the limit"):
        ask(tenant.company, {"actorId": "u3"})
    assert ask(tenant.company) == first
    assert ask(other_tenant.company, {"actorId": "u3"})
    reject(first, rejected_by="op", reason="It is not clear who this is.", now=NOON)
    assert ask(tenant.company, {"actorId": "u3"})


def test_the_limit_is_the_one_that_is_told() -> None:
    assert f"has {requesting.MOST_OPEN} open requests" in str(TooManyErasures())


def test_of_two_who_ask_at_once_both_get_the_one_request(committed: None, tenant: Tenant) -> None:
    asked: list[tuple[uuid.UUID, bool]] = []

    def ask_directly() -> None:
        known = {"reason": WHY, "requested_by": "a test"}
        erasure, new = request_erasure(company=tenant.company, subject=person(), now=NOON, **known)
        asked.append((erasure.pk, new))

    with transaction.atomic():
        ask_directly()
        thread = begin_until_it_waits(ask_directly)
    thread.join()
    (first, new), (second, not_new) = asked
    assert (first, new, not_new) == (second, True, False)
    assert Erasure.objects.count() == Job.objects.filter(type=PREVIEW).count() == 1


def test_the_preview_is_counted_anew_where_no_count_is_under_way(tenant: Tenant) -> None:
    erasure = previewed(tenant.company)
    assert not again(erasure, now=NOON)
    for status in ("COMPLETED", "FAILED"):
        Job.objects.filter(status="PENDING").update(status=status, completed_at=NOON)
        assert again(erasure, now=NOON)
    erasure.refresh_from_db()
    assert erasure.preview is not None


def test_no_preview_is_counted_of_what_people_have_decided_on(tenant: Tenant) -> None:
    erasures = [approved(tenant.company), ask(tenant.company, BOB)]
    reject(erasures[1], rejected_by="op", reason="It is not clear who this is.", now=NOON)
    Job.objects.filter(type=PREVIEW).update(status="COMPLETED", completed_at=NOON)
    assert not any(again(erasure, now=NOON) for erasure in erasures)
    assert not Job.objects.filter(type=PREVIEW, status="PENDING").exists()


def overdue(*, now: datetime) -> int:
    """By the model, and by the metric, which goes by the database's clock."""
    (gauge,) = [gauge for gauge in GAUGES if gauge.name == "hyrelog_erasures_overdue"]
    with connection.cursor() as cursor:
        cursor.execute(gauge.statement)
        (by_metric,) = cursor.fetchone()
    assert Erasure.objects.overdue(now=now).count() == by_metric
    return int(by_metric)


def test_what_owes_an_answer_past_its_due_date_is_overdue(tenant: Tenant) -> None:
    now = timezone.now()
    erasure, _ = ask(tenant.company, now=now - timedelta(days=32)), ask(tenant.company, BOB, now=now)
    assert overdue(now=now) == 1
    for status in ("APPROVED", "PROCESSING", "FAILED"):
        Erasure.objects.filter(pk=erasure.pk).update(status=status)
        assert overdue(now=now) == 1
    said = {"rejected_by": "op", "rejection": "No.", "rejected_at": now}
    Erasure.objects.filter(pk=erasure.pk).update(status="REJECTED", **said)
    assert overdue(now=now) == 0
    done = {"subject": None, "key": "", "completed_at": now, "rejected_at": None, "rejection": ""}
    Erasure.objects.filter(pk=erasure.pk).update(status="COMPLETED", **done)
    assert overdue(now=now) == 0


@pytest.mark.django_db
def test_the_metric_is_there_while_nothing_is_overdue() -> None:
    assert scrape()["hyrelog_erasures_overdue"] == 0
