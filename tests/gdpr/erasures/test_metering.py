"""How far an erasure says it is."""

import pytest
from django.utils import timezone

from gdpr.erasures.metering import LOOKED, Meter
from gdpr.models import Erasure
from jobs import context
from jobs.context import JobContext
from jobs.models import Job
from jobs.running import watch_over
from tests.conftest import Tenant, draft
from tests.gdpr.erasing import at_work
from tests.jobs.steps import never

EVENTS = 100


@pytest.fixture
def erasure(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> Erasure:
    """At work on a company with a hundred events, of which fifty are to be erased."""
    monkeypatch.setattr(context, "LOOK_EVERY", 0.0)
    tenant.record(*[draft(actor={"id": str(number)}) for number in range(EVENTS)])
    erasure = at_work(tenant.company)
    Erasure.objects.filter(pk=erasure.pk).update(preview={"rows": {"audit_auditevent": EVENTS // 2}, "remaining": {}})
    return Erasure.objects.get(pk=erasure.pk)


def attempt(erasure: Erasure) -> Meter:
    job = Job.objects.get(erasure=erasure)
    return Meter(JobContext(job, watch=watch_over(job, stopping=never, clock=timezone.now)), erasure=erasure)


def shown(erasure: Erasure) -> float:
    return Job.objects.get(erasure=erasure).progress


def after(meter: Meter, erasure: Erasure, *, erased: int, looked_at: int) -> float:
    Erasure.objects.filter(pk=erasure.pk).update(counts={"audit_auditevent": erased})
    meter.took("audit_auditevent", looked_at)
    return shown(erasure)


def test_it_goes_by_what_was_erased_rather_than_by_what_was_looked_at(erasure: Erasure) -> None:
    meter = attempt(erasure)
    assert 0 < after(meter, erasure, erased=0, looked_at=EVENTS // 2) < 0.05
    assert 0.4 < after(meter, erasure, erased=EVENTS // 4, looked_at=0) < 0.5
    assert 0.85 < after(meter, erasure, erased=EVENTS // 2, looked_at=EVENTS // 2) < LOOKED
    assert after(meter, erasure, erased=EVENTS, looked_at=EVENTS) == LOOKED


def test_it_does_not_go_back_where_an_attempt_begins_to_look_from_the_start(erasure: Erasure) -> None:
    before = after(attempt(erasure), erasure, erased=EVENTS // 4, looked_at=EVENTS // 2)
    Job.objects.filter(erasure=erasure).update(progress=0)  # as whoever claims it does
    meter = attempt(erasure)
    assert after(meter, erasure, erased=EVENTS // 4, looked_at=1) == before
    assert after(meter, erasure, erased=EVENTS // 2, looked_at=1) > before
