import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from jobs import doorbell, events
from jobs.api import creating
from jobs.enqueueing import enqueue
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.api import Api
from tests.conftest import Tenant, open_tenant
from tests.jobs.rows import job_in
from tests.jobs.steps import claim, run_next
from tests.threads import at_once, begin_until_it_waits

JOBS = "/v1/key/company/jobs"
SLEEP = {"type": "sleep", "payload": {"seconds": 0}}


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lanes that were rung."""
    rung: list[str] = []
    monkeypatch.setattr(doorbell, "ring", lambda lane, **_: rung.append(lane))
    return rung


def status_of(job: Job) -> str:
    return Job.objects.values_list("status", flat=True).get(pk=job.pk)


def test_a_waiting_job_is_cancelled_at_once(committed: None, api: Api, tenant: Tenant, lease: ProcessLease) -> None:
    job = job_in(tenant, run_at=timezone.now() + timedelta(hours=1))
    answer = api.post(f"{JOBS}/{job.id}/cancel")
    assert (answer.status_code, answer.json()["status"], answer.json()["jobId"]) == (200, "CANCELLED", str(job.id))
    assert answer.json()["completedAt"]
    assert not run_next(lease)


def test_a_running_job_is_asked_to_stop_and_may_be_asked_again(
    committed: None, api: Api, tenant: Tenant, lease: ProcessLease
) -> None:
    enqueue("sleep", {"seconds": 60}, company=tenant.company)
    job = claim(lease, now=timezone.now())
    for _ in range(2):
        answer = api.post(f"{JOBS}/{job.id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "PROCESSING")
        assert not job.wanted()
    # Cancelling beats retrying.
    assert job.retry_later(error="x", pause=timedelta(0))
    assert status_of(job) == "CANCELLED"


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_a_job_that_has_ended_is_not_cancelled(committed: None, api: Api, tenant: Tenant, status: str) -> None:
    job = job_in(tenant, status=status)
    answer = api.post(f"{JOBS}/{job.id}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "ended")
    assert status in answer.json()["error"]
    assert status_of(job) == status


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED"])
def test_a_job_that_failed_or_was_cancelled_is_retried(
    committed: None, api: Api, tenant: Tenant, lease: ProcessLease, status: str
) -> None:
    job = job_in(tenant, status=status, attempt=3, error="broken")
    answer = api.post(f"{JOBS}/{job.id}/retry")
    again = answer.json()
    assert (answer.status_code, again["status"], again["attempts"], again["maxAttempts"]) == (200, "PENDING", 0, 3)
    assert again["completedAt"] is None
    assert run_next(lease)
    assert status_of(job) == "COMPLETED"


def test_a_retry_rings(committed: None, api: Api, tenant: Tenant, rung: list[str]) -> None:
    api.post(f"{JOBS}/{job_in(tenant, status='FAILED').id}/retry")
    assert rung == ["jobs"]


@pytest.mark.parametrize(
    ("body", "attempts", "most"),
    [("", 0, 3), ({}, 0, 3), ({"resetAttempts": True}, 0, 3), ({"resetAttempts": False}, 3, 4)],
)
def test_a_retry_begins_anew_or_adds_one_attempt(api: Api, tenant: Tenant, body: Any, attempts: int, most: int) -> None:
    job = job_in(tenant, status="FAILED", attempt=3)
    again = api.post(f"{JOBS}/{job.id}/retry", body).json()
    assert (again["attempts"], again["maxAttempts"]) == (attempts, most)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"resetAttempts": "yes"}, 422, "resetAttempts"),
        ({"resetAttempts": 1}, 422, "resetAttempts"),
        ({"resetAttempts": None}, 422, "resetAttempts"),
        ({"reset": True}, 422, "reset"),
        ("{", 400, None),
        ("[]", 422, "body"),
    ],
)
def test_a_bad_retry_changes_nothing(api: Api, tenant: Tenant, body: Any, status: int, field: str | None) -> None:
    job = job_in(tenant, status="FAILED")
    answer = api.post(f"{JOBS}/{job.id}/retry", body)
    assert answer.status_code == status
    assert field is None or answer.json()["details"][0]["field"] == field
    assert status_of(job) == "FAILED"


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "COMPLETED"])
def test_a_job_in_another_status_is_not_retried(
    committed: None, api: Api, tenant: Tenant, rung: list[str], status: str
) -> None:
    job = job_in(tenant, status=status, key="k")
    answer = api.post(f"{JOBS}/{job.id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ended")
    assert status in answer.json()["error"]
    assert (status_of(job), rung) == (status, [])


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_a_job_whose_key_is_taken_is_not_retried(
    committed: None, api: Api, tenant: Tenant, other_tenant: Tenant, status: str
) -> None:
    job = job_in(tenant, status="FAILED", key="k")
    job_in(other_tenant, key="k")
    job_in(tenant, job_type="gdpr.export", key="k")
    rival = job_in(tenant, status=status, key="k")
    answer = api.post(f"{JOBS}/{job.id}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "key_active")
    assert answer.json()["details"] == {"jobId": str(rival.id)}
    assert (status_of(job), status_of(rival)) == ("FAILED", status)


def test_a_job_of_the_key_that_becomes_active_meanwhile_is_named_too(committed: None) -> None:
    tenant = open_tenant("Acme")
    job = job_in(tenant, status="FAILED", key="k")
    answers: list[Any] = []

    def retry() -> None:
        answers.append(Api(Client(), tenant.company_key).post(f"{JOBS}/{job.id}/retry"))

    with transaction.atomic():
        rival, _ = enqueue("sleep", {"seconds": 0}, company=tenant.company, key="k")
        thread = begin_until_it_waits(retry)
    thread.join()
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (409, "key_active")
    assert answer.json()["details"] == {"jobId": str(rival.id)}
    assert status_of(job) == "FAILED"


def test_of_two_jobs_of_a_key_that_are_retried_at_once_one_begins_again(committed: None) -> None:
    tenant = open_tenant("Acme")
    jobs = [job_in(tenant, status="FAILED", key="k") for _ in range(2)]
    todo = list(jobs)
    statuses: list[int] = []
    together = threading.Barrier(2)

    def retry() -> None:
        job = todo.pop()
        together.wait()
        statuses.append(Api(Client(), tenant.company_key).post(f"{JOBS}/{job.id}/retry").status_code)

    at_once(2, retry)
    assert sorted(statuses) == [200, 409]
    assert sorted(map(status_of, jobs)) == ["FAILED", "PENDING"]


def test_a_cancelled_job_does_not_pass_by_the_bound_of_what_waits(
    api: Api, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creating, "MOST_WAITING", 2)
    job_in(tenant)
    first, second = job_in(tenant, status="CANCELLED"), job_in(tenant, status="CANCELLED")
    answers = [api.post(f"{JOBS}/{job.id}/retry") for job in (first, second)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["Retry-After"]
    assert status_of(second) == "CANCELLED"


@pytest.mark.parametrize("job_type", ["email.send", "webhook.disable", "gone"])
def test_what_hyrelog_does_by_itself_is_not_controlled_by_tenants(
    committed: None, api: Api, tenant: Tenant, job_type: str
) -> None:
    waiting, failed = job_in(tenant, job_type=job_type), job_in(tenant, job_type=job_type, status="FAILED")
    for job, verb in ((waiting, "cancel"), (failed, "retry")):
        answer = api.post(f"{JOBS}/{job.id}/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
        assert job_type in answer.json()["error"]
        assert status_of(job) == job.status


@pytest.mark.parametrize("job_type", ["webhook.recover", "webhook.replay"])
def test_recoveries_and_replays_are_cancelled_and_retried(api: Api, tenant: Tenant, job_type: str) -> None:
    job = job_in(tenant, job_type=job_type)
    assert api.post(f"{JOBS}/{job.id}/cancel").json()["status"] == "CANCELLED"
    assert api.post(f"{JOBS}/{job.id}/retry").json()["status"] == "PENDING"


def test_an_export_is_cancelled_but_not_retried_past_its_limit_a_day(
    committed: None, api: Api, tenant: Tenant, settings: Any
) -> None:
    settings.GDPR_EXPORTS_PER_DAY = 2

    def ask() -> Any:
        return api.post("/v1/key/company/gdpr/export", {"scope": "company"})

    first = ask().json()["jobId"]
    assert api.post(f"{JOBS}/{first}/cancel").json()["status"] == "CANCELLED"
    second = ask()
    assert second.status_code == 202
    Job.objects.filter(pk=second.json()["jobId"]).update(status="COMPLETED", completed_at=timezone.now())
    assert ask().status_code == 429
    refused = api.post(f"{JOBS}/{first}/retry")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert Job.objects.active().count() == 0


def test_a_job_that_is_handed_back_while_it_is_cancelled_is_cancelled(committed: None, lease: ProcessLease) -> None:
    tenant = open_tenant("Acme")
    enqueue("sleep", {"seconds": 0}, company=tenant.company)
    job = claim(lease, now=timezone.now())
    counts: list[int] = []
    with transaction.atomic():
        assert job.hand_back()
        thread = begin_until_it_waits(lambda: counts.append(Job.objects.cancel(now=timezone.now())))
    thread.join()
    assert (counts, status_of(job)) == ([1], "CANCELLED")


def test_a_job_that_is_claimed_while_it_is_cancelled_is_asked_to_stop(committed: None, lease: ProcessLease) -> None:
    tenant = open_tenant("Acme")
    enqueue("sleep", {"seconds": 0}, company=tenant.company)
    counts: list[int] = []
    with transaction.atomic():
        job = claim(lease, now=timezone.now())
        thread = begin_until_it_waits(lambda: counts.append(Job.objects.cancel(now=timezone.now())))
    thread.join()
    assert (counts, status_of(job), job.wanted()) == ([1], "PROCESSING", False)


def test_a_job_whose_key_is_taken_while_it_is_retried_is_left_out_and_the_others_begin_again(committed: None) -> None:
    tenant = open_tenant("Acme")
    ended = {"status": "FAILED", "completed_at": timezone.now()}
    rival, other = job_in(tenant, key="k", **ended), job_in(tenant, **ended)
    counts: list[int] = []
    with transaction.atomic():
        enqueue("sleep", {"seconds": 0}, company=tenant.company, key="k")
        thread = begin_until_it_waits(lambda: counts.append(Job.objects.retry(now=timezone.now())))
    thread.join()
    assert (counts, status_of(rival), status_of(other)) == ([1], "FAILED", "PENDING")


def test_many_are_cancelled_each_by_its_own_state(tenant: Tenant) -> None:
    jobs = [job_in(tenant, status=status) for status in Job.Status.values for _ in range(2)]
    asked = job_in(tenant, status="PROCESSING", cancel_requested_at=timezone.now())
    assert Job.objects.cancel(now=timezone.now()) == 4
    now_are = [status_of(job) for job in jobs]
    assert now_are == ["CANCELLED"] * 2 + [job.status for job in jobs[2:]]
    assert Job.objects.filter(cancel_requested_at__isnull=False, status="PROCESSING").count() == 3
    assert status_of(asked) == "PROCESSING"
    assert Job.objects.cancel(now=timezone.now()) == 0


def test_events_tell_of_those_that_are_cancelled_and_not_of_those_that_are_asked(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, uuid.UUID]] = []
    monkeypatch.setattr(events, "_listeners", [lambda name, job: told.append((name, job.pk))])
    tenant = open_tenant("Acme")
    waiting, _ = job_in(tenant), job_in(tenant, status="PROCESSING")
    Job.objects.cancel(now=timezone.now())
    assert told == [("cancelled", waiting.pk)]
    Job.objects.filter(pk=waiting.pk).retry(now=timezone.now())
    assert told[1:] == [("retrying", waiting.pk)]
