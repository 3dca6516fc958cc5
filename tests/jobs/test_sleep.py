import math
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from jobs.claiming import Claimer
from jobs.enqueueing import enqueue, enqueue_many
from jobs.leases import ProcessLease
from jobs.models import Job
from jobs.payloads import BadPayload
from jobs.registry import handler_of
from tests.conftest import Tenant
from tests.jobs.steps import run_next

pytestmark = pytest.mark.django_db
Status = Job.Status


def test_sleep_ends_with_what_it_slept(lease: ProcessLease, tenant: Tenant) -> None:
    job, _ = enqueue("sleep", {"seconds": 0.05}, company=tenant.company)
    assert run_next(lease)
    job.refresh_from_db()
    assert (job.status, job.result, job.progress) == (Status.COMPLETED, {"slept": 0.05}, 1.0)


def test_sleeping_no_time_at_all_is_a_sleep(lease: ProcessLease) -> None:
    job, _ = enqueue("sleep", {"seconds": 0})
    assert run_next(lease)
    job.refresh_from_db()
    assert (job.status, job.result) == (Status.COMPLETED, {"slept": 0})


def test_sleep_tells_how_far_it_is(lease: ProcessLease, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, str]] = []
    advance = Job.advance

    def noted(job: Job, fraction: float, *, step: str, **more: Any) -> bool:
        told.append((fraction, step))
        return advance(job, fraction, step=step, **more)

    monkeypatch.setattr(Job, "advance", noted)
    monkeypatch.setattr("jobs.context.LOOK_EVERY", 0.0)
    enqueue("sleep", {"seconds": 1.25})
    assert run_next(lease)
    assert told == [(0.8, "1 of 1.25 s"), (1.0, "1.25 of 1.25 s")]


@pytest.mark.usefixtures("committed")
def test_sleep_ends_soon_after_it_was_cancelled(lease: ProcessLease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.watching.LOOK_EVERY", 0.1)  # the watch's thread sees what is committed
    job, _ = enqueue("sleep", {"seconds": 600})
    assert run_next(lease, stopping=cancelling(job))
    job.refresh_from_db()
    assert (job.status, job.result) == (Status.CANCELLED, None)


def test_a_shutdown_hands_sleep_back_uncounted(lease: ProcessLease) -> None:
    job, _ = enqueue("sleep", {"seconds": 600})
    assert run_next(lease, stopping=lambda: True)
    job.refresh_from_db()
    assert (job.status, job.attempt, job.claim_token) == (Status.PENDING, 0, None)
    assert job.run_at <= timezone.now()


@pytest.mark.parametrize("seconds", [-1, 3601, math.inf, math.nan, "long", None, [1]])
def test_seconds_out_of_range_are_refused_when_they_are_enqueued(seconds: Any) -> None:
    with pytest.raises(BadPayload, match=r"payload\.seconds: ") as refused:
        enqueue("sleep", {"seconds": seconds})
    assert [field for field, _ in refused.value.problems] == ["payload.seconds"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(("payload", "field"), [({}, "payload.seconds"), ({"seconds": 1, "x": 2}, "payload.x")])
def test_fields_that_lack_or_are_unknown_are_named(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(BadPayload) as refused:
        enqueue("sleep", payload)
    assert [name for name, _ in refused.value.problems] == [field]


def test_tenants_may_sleep() -> None:
    assert handler_of("sleep").public


def cancelling(job: Job) -> Any:
    """Tells no shutdown; the first time it is asked, the job is cancelled."""
    asked: list[bool] = []

    def stopping() -> bool:
        if not asked:
            asked.append(True)
            Job.objects.filter(pk=job.pk).cancel(now=timezone.now())
        return False

    return stopping


def test_no_company_sleeps_in_the_place_of_all_others(
    lease: ProcessLease, tenant: Tenant, other_tenant: Tenant
) -> None:
    now = timezone.now()
    enqueue_many("sleep", [{"seconds": 3600}] * 30, company=tenant.company, now=now)
    enqueue("sleep", {"seconds": 0}, company=other_tenant.company, now=now + timedelta(seconds=1))
    claimer = Claimer("jobs")
    claimed: list[Job] = []
    while job := claimer.claim(process=lease.process_id, now=now).job:
        claimed.append(job)
    assert {job.company for job in claimed} == {tenant.company}
    later = claimer.claim(process=lease.process_id, now=now + timedelta(seconds=1)).job
    assert later
    assert later.company == other_tenant.company
