import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.chain import timestamp
from audit.models import AuditEvent
from jobs import rescuing as job_rescuing
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.api import Api
from tests.conftest import Tenant, draft
from tests.jobs.steps import claim, run, run_next
from webhooks import backlog
from webhooks.models import Webhook, WebhookDelivery
from webhooks.replaying import REPLAY, Replay, request_replay

WEBHOOKS = "/v1/key/company/webhooks"
STEP = timedelta(seconds=20)
Work = Callable[[], Any]
pytestmark = pytest.mark.django_db


@pytest.fixture
def start() -> datetime:
    """Not long ago: the ids of events tell the real time."""
    return timezone.now() - 10 * STEP


@pytest.fixture
def work(lease: ProcessLease) -> Work:
    def run_one() -> Any:
        assert run_next(lease)
        return Job.objects.get()

    return run_one


def register(tenant: Tenant, **chosen: Any) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url="https://example.com/", **chosen)[0]


def begin(hook: Webhook, *, since: datetime, until: datetime | None = None, patterns: tuple[str, ...] = ("*",)) -> Job:
    now = timezone.now()
    return request_replay(webhook=hook, since=since, until=until or now, patterns=patterns, now=now)


def record(tenant: Tenant, *actions: str, now: datetime) -> list[AuditEvent]:
    return tenant.record(*[draft(action=action) for action in actions], now=now)


def planned(hook: Webhook) -> list[str]:
    due = hook.deliveries.filter(status="PENDING", replay=True, next_attempt_at__isnull=False)
    return list(due.order_by("event").values_list("event__action", flat=True))


def test_a_new_webhook_gets_the_events_of_the_range(tenant: Tenant, work: Work, start: datetime) -> None:
    for n in range(5):
        record(tenant, f"a.{n}", now=start + n * STEP)
    hook = register(tenant)
    begin(hook, since=start + STEP, until=start + 4 * STEP)
    job = work()
    assert job.status == "COMPLETED", job.traceback
    assert planned(hook) == ["a.1", "a.2", "a.3"]
    assert (job.result["planned"], job.result["redelivered"], job.progress) == (3, 0, 1.0)
    assert job.result["done"] == job.result["total"] == 5
    delivery = hook.deliveries.first()
    assert delivery
    assert (delivery.company, delivery.attempt, delivery.failures) == (tenant.company, 0, 0)


def test_it_gets_only_what_it_wants_of_what_was_asked_for(
    tenant: Tenant, other_tenant: Tenant, work: Work, start: datetime
) -> None:
    record(tenant, "user.login", "user.logout", "invoice.paid", "user.deleted", now=start)
    record(other_tenant, "user.login", now=start)
    hook = register(tenant, events=["user.*"])
    begin(hook, since=start, patterns=("*.log*", "invoice.paid"))
    work()
    assert planned(hook) == ["user.login", "user.logout"]


@pytest.mark.parametrize("scoped", [True, False])
def test_a_webhook_of_one_workspace_gets_that_one_s_events(
    tenant: Tenant, work: Work, start: datetime, *, scoped: bool
) -> None:
    record(tenant, "here", now=start)
    elsewhere = Tenant(tenant.company, tenant.company.add_workspace(name="staging"), "", "")
    record(elsewhere, "there", now=start)
    hook = register(tenant, workspace=tenant.workspace if scoped else None)
    begin(hook, since=start)
    work()
    assert planned(hook) == (["here"] if scoped else ["here", "there"])


def test_what_is_at_rest_is_sent_again_and_what_waits_is_left(tenant: Tenant, work: Work, start: datetime) -> None:
    hook = register(tenant)
    rest, due, token = {"next_attempt_at": None}, {"next_attempt_at": start}, {"claim_token": uuid.uuid4()}
    changes: dict[str, dict[str, Any]] = {
        "success": rest | {"status": "SUCCESS", "completed_at": start},
        "given-up": rest | {"status": "FAILED", "completed_at": start},
        "cancelled": rest | {"status": "CANCELLED", "completed_at": start},
        "pending": due | {"status": "PENDING"},
        "retrying": due | {"status": "FAILED"},
        "sending": rest | {"status": "SENDING", "claimed_by": uuid.uuid4()} | token,
        "held": rest | {"status": "HELD"},
    }
    record(tenant, *changes, now=start)
    for action, change in changes.items():
        hook.deliveries.filter(event__action=action).update(**change)
    begin(hook, since=start)
    job = work()
    assert planned(hook) == ["success", "given-up", "cancelled"]
    assert (job.result["planned"], job.result["redelivered"]) == (0, 3)
    assert hook.deliveries.count() == len(changes)


def test_after_a_crash_it_goes_on_where_it_was_and_sends_nothing_twice(
    tenant: Tenant, lease: ProcessLease, work: Work, start: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 2)
    hook = register(tenant)
    record(tenant, *(f"a.{n}" for n in range(5)), now=start)
    hook.deliveries.filter(event__action__in=["a.0", "a.2"]).delete()
    hook.deliveries.update(status="SUCCESS", next_attempt_at=None, completed_at=start)
    begin(hook, since=start)
    step, steps = Replay.step, []

    def die(self: Replay, so_far: dict[str, Any], *, now: datetime) -> bool:
        more = step(self, so_far, now=now)
        steps.append(more)
        if len(steps) == 2:
            raise SystemExit  # its second batch is not committed
        return more

    monkeypatch.setattr(Replay, "step", die)
    job = claim(lease, now=timezone.now())
    with pytest.raises(SystemExit):
        run(job)
    lease.give_up(lease.process_id)
    job_rescuing.rescue("jobs", now=timezone.now())
    assert planned(hook) == ["a.0", "a.1"]
    now = timezone.now()
    hook.deliveries.filter(event__action__in=["a.0", "a.1"]).update(
        status="SUCCESS", next_attempt_at=None, completed_at=now
    )
    job = work()
    assert planned(hook) == ["a.2", "a.3", "a.4"]
    assert (job.status, job.result["planned"], job.result["redelivered"]) == ("COMPLETED", 2, 3)


def test_a_second_replay_of_the_range_sends_all_of_it_again(tenant: Tenant, work: Work, start: datetime) -> None:
    record(tenant, "a", "b", now=start)
    hook = register(tenant)
    for _ in range(2):
        begin(hook, since=start)
        work()
        assert planned(hook) == ["a", "b"]
        WebhookDelivery.objects.update(status="SUCCESS", next_attempt_at=None, completed_at=timezone.now())
        Job.objects.all().delete()


def test_replaying_is_a_job_that_can_be_watched(api: Api, tenant: Tenant, work: Work, start: datetime) -> None:
    record(tenant, "user.login", "user.logout", now=start)
    hook = register(tenant)
    body = {"from": timestamp(start), "to": timestamp(timezone.now()), "events": ["user.login"]}
    answer = api.post(f"{WEBHOOKS}/{hook.id}/replay", body)
    assert answer.status_code == 202
    begun = answer.json()
    assert (begun["type"], begun["status"]) == (REPLAY, "PENDING")
    assert api.post(f"{WEBHOOKS}/{hook.id}/replay", body).json()["jobId"] == begun["jobId"]
    refused = api.post(f"{WEBHOOKS}/{hook.id}/replay", body | {"events": ["*"]})
    assert (refused.status_code, refused.json()["details"]) == (409, {"jobId": begun["jobId"]})
    work()
    assert planned(hook) == ["user.login"]
    assert api.get(f"/v1/key/company/jobs/{begun['jobId']}").json()["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"from": None}, "from"),
        ({"from": "2026-01-31"}, "from"),
        ({"from": "2026-01-31T13:00:00Z"}, "from"),
        ({"from": "2026-01-31T14:00:00Z"}, "from"),
        ({"to": "2999-01-01T00:00:00Z"}, "to"),
        ({"to": ""}, "to"),
        ({"events": []}, "events"),
        ({"events": ["a", "\0"]}, "events[1]"),
        ({"events": "*"}, "events"),
        ({"statuses": ["FAILED"]}, "statuses"),
    ],
)
def test_a_bad_range_names_the_field(api: Api, tenant: Tenant, change: dict[str, Any], field: str) -> None:
    body = {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T13:00:00Z"} | change
    answer = api.post(f"{WEBHOOKS}/{register(tenant).id}/replay", body)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == field
    assert not Job.objects.exists()


def test_the_oldest_moment_there_is_can_be_asked_for(api: Api, tenant: Tenant, work: Work, start: datetime) -> None:
    record(tenant, "a", now=start)
    hook = register(tenant)
    body = {"from": "1970-01-01T00:00:00Z", "to": timestamp(timezone.now())}
    assert api.post(f"{WEBHOOKS}/{hook.id}/replay", body).status_code == 202
    work()
    assert planned(hook) == ["a"]
