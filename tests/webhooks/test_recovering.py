import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client

from audit.chain import timestamp
from jobs import context
from jobs import rescuing as job_rescuing
from jobs.leases import ProcessLease
from jobs.models import Job
from tests.api import Api
from tests.conftest import NOON, Clock, Tenant, draft
from tests.jobs.steps import claim, run, run_next
from webhooks import backlog, rescuing
from webhooks.models import Webhook, WebhookDelivery, webhook
from webhooks.recovering import RECOVER, Recovery, request_recovery

WEBHOOKS = "/v1/key/company/webhooks"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BOTH = ("FAILED", "HELD")
Work = Callable[..., Job]
pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(tenant: Tenant) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url="https://example.com/")[0]


@pytest.fixture
def work(lease: ProcessLease, clock: Clock) -> Work:
    """Runs the job that is due."""

    def run_one(*, stopping: Callable[[], bool] = lambda: False) -> Job:
        clock.now = max(clock.now, NOON + DAY)
        assert run_next(lease, stopping=stopping, clock=clock)
        return Job.objects.get()

    return run_one


def add(tenant: Tenant, hook: Webhook, status: str, *, at: datetime = NOON, **changes: Any) -> uuid.UUID:
    """A delivery that came up at a moment and is in a status; one that failed was given up an hour later."""
    (event,) = tenant.record(draft(), now=at)
    if status == "FAILED":
        changes = {"completed_at": at + HOUR, "failures": 5, "attempt": 5, "error": "no luck"} | changes
    delivery = hook.deliveries.get(event=event)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(**{"next_attempt_at": None, "status": status} | changes)
    return delivery.pk


def begin(hook: Webhook, *, since: datetime = NOON, **asked: Any) -> Job:
    parts: dict[str, Any] = {"until": None, "statuses": BOTH, "now": NOON + DAY} | asked
    return request_recovery(webhook=hook, since=since, **parts)


def states() -> dict[uuid.UUID, tuple[str, bool, bool]]:
    rows = WebhookDelivery.objects.values_list("pk", "status", "replay", "next_attempt_at")
    return {pk: (status, replay, due is not None) for pk, status, replay, due in rows}


# --- Recovering -------------------------------------------------------------------------------------------------


def test_what_was_given_up_or_held_since_a_moment_becomes_due_and_nothing_else(
    tenant: Tenant, hook: Webhook, work: Work
) -> None:
    other = Webhook.objects.register(company=tenant.company, url="https://other.example/")[0]
    given_up, held = add(tenant, hook, "FAILED"), add(tenant, hook, "HELD")
    held_again = add(tenant, hook, "HELD", attempt=2)
    untouched = [
        add(tenant, hook, "FAILED", at=NOON - timedelta(microseconds=1)),
        add(tenant, hook, "HELD", at=NOON - DAY),
        add(tenant, hook, "SUCCESS", completed_at=NOON),
        add(tenant, hook, "CANCELLED", completed_at=NOON),
        add(tenant, hook, "FAILED", next_attempt_at=NOON + DAY, completed_at=None),
        add(tenant, other, "FAILED"),
    ]
    before = states()
    begin(hook)
    job = work()
    after = states()
    assert (job.status, job.result, job.progress) == ("COMPLETED", {"done": 3, "total": 3}, 1.0)
    assert after[given_up] == ("PENDING", True, True)
    assert after[held] == ("PENDING", False, True)
    assert after[held_again] == ("FAILED", False, True)
    assert {pk: after[pk] for pk in untouched} == {pk: before[pk] for pk in untouched}
    assert WebhookDelivery.objects.get(pk=given_up).failures == 0


@pytest.mark.parametrize("status", BOTH)
def test_one_status_alone_can_be_recovered(tenant: Tenant, hook: Webhook, work: Work, status: str) -> None:
    rows = {each: add(tenant, hook, each) for each in BOTH}
    begin(hook, statuses=[status])
    work()
    assert {each: states()[pk][2] for each, pk in rows.items()} == {each: each == status for each in BOTH}


def test_until_ends_the_range(tenant: Tenant, hook: Webhook, work: Work) -> None:
    early, late = add(tenant, hook, "HELD"), add(tenant, hook, "HELD", at=NOON + HOUR)
    begin(hook, until=NOON + HOUR)
    work()
    assert (states()[early][2], states()[late][2]) == (True, False)


def test_the_oldest_come_first_in_small_batches(
    tenant: Tenant, hook: Webhook, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 2)
    rows = [add(tenant, hook, "HELD", at=NOON + n * HOUR) for n in (3, 1, 0, 2, 4)]
    begin(hook)
    assert work().result == {"done": 5, "total": 5}
    due = [WebhookDelivery.objects.get(pk=rows[n]).next_attempt_at or NOON for n in (2, 1, 3, 0, 4)]
    assert due[0] == due[1] < due[2] == due[3] < due[4]


def test_after_a_crash_in_the_middle_it_goes_on_and_makes_no_row_due_twice(
    tenant: Tenant, hook: Webhook, lease: ProcessLease, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 2)
    rows = [add(tenant, hook, "FAILED", at=NOON + n * timedelta(minutes=1)) for n in range(7)]
    begin(hook)
    step, steps = Recovery.step, []

    def die(self: Recovery, so_far: dict[str, Any], *, now: datetime) -> bool:
        more = step(self, so_far, now=now)
        steps.append(more)
        if len(steps) == 3:
            raise SystemExit  # its third batch is not committed
        return more

    monkeypatch.setattr(Recovery, "step", die)
    job = claim(lease, now=NOON + DAY)
    with pytest.raises(SystemExit):
        run(job)
    lease.give_up(lease.process_id)
    assert job_rescuing.rescue("jobs", now=NOON) == 1
    assert [pk for pk in rows if states()[pk][2]] == rows[:4]
    assert Job.objects.get().result == {"done": 4, "total": 7}
    # Meanwhile the endpoint accepted one, and another was given up once more.
    WebhookDelivery.objects.filter(pk=rows[0]).update(status="SUCCESS", next_attempt_at=None, completed_at=NOON + DAY)
    again = NOON + DAY + HOUR
    WebhookDelivery.objects.filter(pk=rows[1]).update(status="FAILED", next_attempt_at=None, completed_at=again)
    assert work().result == {"done": 7, "total": 7}
    assert [states()[pk][2] for pk in rows] == [False, False, True, True, True, True, True]


def test_a_stale_worker_makes_nothing_due(tenant: Tenant, hook: Webhook, lease: ProcessLease) -> None:
    row = add(tenant, hook, "HELD")
    begin(hook)
    stale = claim(lease, now=NOON + DAY)
    lease.give_up(lease.process_id)
    job_rescuing.rescue("jobs", now=NOON)
    assert not run(stale)
    assert states()[row] == ("HELD", False, False)


def test_cancelling_ends_it_between_two_batches(
    tenant: Tenant, hook: Webhook, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 1)
    monkeypatch.setattr(context, "LOOK_EVERY", 0.0)
    for _ in range(3):
        add(tenant, hook, "HELD")
    begin(hook)
    step = Recovery.step

    def cancelled(self: Recovery, so_far: dict[str, Any], *, now: datetime) -> bool:
        Job.objects.cancel(now=now)
        return step(self, so_far, now=now)

    monkeypatch.setattr(Recovery, "step", cancelled)
    job = work()
    assert (job.status, job.result) == ("CANCELLED", {"done": 1, "total": 3})
    assert WebhookDelivery.objects.in_status("HELD").count() == 2


def test_while_too_many_are_due_it_waits_and_gives_its_place_to_others(
    tenant: Tenant, hook: Webhook, work: Work, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "ROOM", 3)
    monkeypatch.setattr(backlog, "BATCH", 2)
    for _ in range(6):
        add(tenant, hook, "HELD")
    begin(hook)
    job = work()
    assert (job.status, job.attempt, job.result) == ("PENDING", 0, {"done": 4, "total": 6})
    assert job.progress == 4 / 6
    assert job.run_at > clock.now
    clock.now = job.run_at
    assert work().result == {"done": 4, "total": 6}  # there is still no room
    clock.now = Job.objects.get().run_at
    hook.deliveries.due(now=clock.now).update(status="SUCCESS", next_attempt_at=None)
    job = work()
    assert (job.status, job.result) == ("COMPLETED", {"done": 6, "total": 6})


def test_a_webhook_that_is_disabled_meanwhile_ends_it_and_says_why(tenant: Tenant, hook: Webhook, work: Work) -> None:
    row = add(tenant, hook, "HELD")
    begin(hook)
    Webhook.objects.update(disabled_at=NOON)
    job = work()
    assert (job.status, job.attempt) == ("FAILED", 1)
    assert "disabled" in job.error
    assert states()[row][0] == "HELD"


def test_a_job_that_names_another_company_s_webhook_finds_none(
    tenant: Tenant, other_tenant: Tenant, hook: Webhook, work: Work
) -> None:
    row = add(tenant, hook, "HELD")
    begin(hook)
    Job.objects.update(company=other_tenant.company)
    assert work().status == "FAILED"
    assert states()[row][0] == "HELD"


@pytest.mark.parametrize(("status", "index"), [("FAILED", "delivery_given_up"), ("HELD", "delivery_held")])
def test_the_search_reads_an_index_of_its_own(tenant: Tenant, hook: Webhook, status: str, index: str) -> None:
    recovery = Recovery(hook, since=NOON, until=NOON + DAY, statuses=BOTH, asked_at=NOON)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = recovery._rows(status).order_by("created_at")[:500].explain()
    assert index in plan
    assert "Sort" not in plan


# --- Holding ----------------------------------------------------------------------------------------------------


@pytest.fixture
def held(tenant: Tenant, hook: Webhook) -> list[uuid.UUID]:
    """Deliveries that came up while the webhook was disabled, an hour apart."""
    hook.disable(reason="test", now=NOON)
    rows = []
    for n in range(3):
        (event,) = tenant.record(now=NOON + n * HOUR)
        rows.append(hook.deliveries.get(event=event).pk)
    return rows


def due(rows: list[uuid.UUID]) -> list[bool]:
    return [states()[pk][2] for pk in rows]


def test_what_was_held_stays_held_when_its_webhook_is_enabled(hook: Webhook, held: list[uuid.UUID]) -> None:
    assert hook.enable(now=NOON + DAY) == 0
    rescuing.rescue(now=NOON + DAY)
    assert {states()[pk] for pk in held} == {("HELD", False, False)}
    assert hook.enable(now=NOON + DAY) is None


def test_what_was_held_is_recovered_where_that_was_asked_for(hook: Webhook, held: list[uuid.UUID]) -> None:
    assert hook.enable(now=NOON + DAY, recover=True) == 4  # its own disabling was held for it too
    assert {states()[pk] for pk in held} == {("PENDING", False, True)}


def test_of_very_many_the_rescue_recovers_the_rest(
    hook: Webhook, held: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "HELD_AT_ONCE", 2)
    assert hook.enable(now=NOON + DAY, recover=True) == 4
    assert due(held) == [True, False, False]
    assert rescuing.rescue(now=NOON + DAY) == 2
    assert due(held) == [True, True, True]


def test_an_event_planned_while_its_webhook_was_just_being_enabled_is_let_go_and_what_was_held_before_is_not(
    tenant: Tenant, hook: Webhook, held: list[uuid.UUID]
) -> None:
    hook.enable(now=NOON + DAY)
    stranded = add(tenant, hook, "HELD", at=NOON + DAY)
    assert rescuing.rescue(now=NOON + DAY) == 1
    assert states()[stranded] == ("PENDING", False, True)
    assert due(held) == [False, False, False]


def test_what_stayed_held_can_be_recovered_later(hook: Webhook, held: list[uuid.UUID], work: Work) -> None:
    hook.enable(now=NOON + DAY)
    begin(hook, since=NOON + HOUR)
    work()
    assert due(held) == [False, True, True]


def test_whoever_enables_it_a_second_time_to_recover_gets_all_that_is_held(
    hook: Webhook, held: list[uuid.UUID]
) -> None:
    hook.enable(now=NOON + DAY)
    hook.disable(reason="test", now=NOON + DAY)
    hook.enable(now=NOON + 2 * DAY, recover=True)
    assert due(held) == [True, True, True]


def test_what_is_held_for_a_deleted_webhook_is_cancelled(hook: Webhook, held: list[uuid.UUID]) -> None:
    hook.enable(now=NOON + DAY)
    Webhook.objects.update(deleted_at=NOON)
    rescuing.rescue(now=NOON + DAY)
    assert {states()[pk][0] for pk in held} == {"CANCELLED"}


# --- The API ----------------------------------------------------------------------------------------------------


def test_recovering_is_a_job_that_can_be_watched(
    api: Api, tenant: Tenant, hook: Webhook, work: Work, clock: Clock
) -> None:
    add(tenant, hook, "HELD")
    answer = api.post(f"{WEBHOOKS}/{hook.id}/recover", {"since": timestamp(NOON)})
    assert answer.status_code == 202
    begun = answer.json()
    assert (begun["type"], begun["status"]) == (RECOVER, "PENDING")
    clock.now = Job.objects.get().run_at
    work()
    ended = api.get(f"/v1/key/company/jobs/{begun['jobId']}").json()
    assert (ended["status"], ended["progress"], ended["result"]) == ("COMPLETED", 1.0, {"done": 1, "total": 1})


def test_one_recovery_at_a_time_for_each_webhook(api: Api, tenant: Tenant, hook: Webhook) -> None:
    url, asked = f"{WEBHOOKS}/{hook.id}/recover", {"since": timestamp(NOON), "statuses": ["HELD", "FAILED"]}
    first = api.post(url, asked).json()["jobId"]
    assert api.post(url, asked | {"statuses": ["FAILED", "HELD"]}).json()["jobId"] == first
    refused = api.post(url, asked | {"statuses": ["HELD"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_running")
    assert refused.json()["details"] == {"jobId": first}
    other = Webhook.objects.register(company=tenant.company, url="https://other.example/")[0]
    assert api.post(f"{WEBHOOKS}/{other.id}/recover", asked).json()["jobId"] != first


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-31T12:00:00"}, "since"),
        ({"since": "2999-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T12:00:00Z"}, "until"),
        ({"since": "2026-01-31T12:00:00Z", "statuses": []}, "statuses"),
        ({"since": "2026-01-31T12:00:00Z", "statuses": ["SUCCESS"]}, "statuses[0]"),
        ({"since": "2026-01-31T12:00:00Z", "limit": 5}, "limit"),
    ],
)
def test_a_bad_request_names_the_field(api: Api, hook: Webhook, body: dict[str, Any], field: str) -> None:
    answer = api.post(f"{WEBHOOKS}/{hook.id}/recover", body)
    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == field
    assert not Job.objects.exists()


@pytest.mark.parametrize("verb", ["recover", "replay"])
def test_a_foreign_webhook_answers_like_a_missing_one_and_a_disabled_one_is_refused(
    api: Api, other_api: Api, client: Client, tenant: Tenant, hook: Webhook, *, verb: str
) -> None:
    body = {"since": timestamp(NOON)} if verb == "recover" else {"from": timestamp(NOON), "to": timestamp(NOON + HOUR)}
    foreign = other_api.post(f"{WEBHOOKS}/{hook.id}/{verb}", body)
    missing = other_api.post(f"{WEBHOOKS}/{uuid.uuid4()}/{verb}", body)
    assert (foreign.status_code, foreign.json()) == (missing.status_code, missing.json())
    assert foreign.status_code == 404
    workspace_key = Api(client, tenant.workspace_key)
    assert workspace_key.post(f"{WEBHOOKS}/{hook.id}/{verb}", body).status_code == 403
    Webhook.objects.update(disabled_at=NOON)
    disabled = api.post(f"{WEBHOOKS}/{hook.id}/{verb}", body)
    assert (disabled.status_code, disabled.json()["code"]) == (409, "disabled")
    assert not Job.objects.exists()


# --- The command ------------------------------------------------------------------------------------------------


def test_the_command_redelivers_single_ones(
    committed: None, tenant: Tenant, hook: Webhook, capsys: pytest.CaptureFixture[str]
) -> None:
    failed, waiting = add(tenant, hook, "FAILED"), add(tenant, hook, "PENDING", next_attempt_at=NOON)
    call_command("redeliver", "--delivery", str(failed), str(waiting), str(uuid.uuid4()))
    assert capsys.readouterr().out.startswith("1 of 3 deliveries are due again")
    assert states()[failed] == ("PENDING", True, True)


def test_the_command_recovers_a_webhook_s(
    tenant: Tenant, hook: Webhook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "BATCH", 2)
    rows = [add(tenant, hook, "FAILED") for _ in range(5)]
    held = add(tenant, hook, "HELD")
    chosen = ["--webhook", str(hook.id), "--since", timestamp(NOON)]
    call_command("redeliver", *chosen, "--status", "FAILED")
    assert capsys.readouterr().out == "5 deliveries are due again.\n"
    assert [*due(rows), *due([held])] == [True] * 5 + [False]
    call_command("redeliver", *chosen, "--until", timestamp(NOON))
    assert due([held]) == [False]
    call_command("redeliver", *chosen)
    assert due([held]) == [True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name either"),
        (["--webhook", str(uuid.uuid4())], "--since"),
        (["--webhook", str(uuid.uuid4()), "--since", "2026-01-31T12:00:00Z"], "There is no webhook"),
        (["--webhook", str(uuid.uuid4()), "--since", "noon"], "RFC 3339"),
    ],
)
def test_the_command_says_what_it_needs(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("redeliver", *arguments)


def test_the_command_refuses_a_disabled_webhook(tenant: Tenant, hook: Webhook) -> None:
    hook.disable(reason="test", now=NOON)
    with pytest.raises(CommandError, match="Enable it first"), transaction.atomic():
        call_command("redeliver", "--webhook", str(hook.id), "--since", timestamp(NOON))
