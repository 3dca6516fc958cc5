import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import AuditEvent, Company, company
from jobs.leases import ProcessLease
from jobs.mailing import EMAIL
from jobs.models import Job
from tests.api import Api
from tests.conftest import NOON, Tenant, open_tenant
from tests.hyrelog.dev.workshop import until
from tests.receiver import Receiver
from tests.webhooks.steps import run_job
from webhooks import health, rescuing
from webhooks.delivering import Sender
from webhooks.health import Limits, Step, decide
from webhooks.models import Endpoint, EndpointHour, Webhook, WebhookAttempt
from webhooks.tasks import check_health

LIMITS = Limits(warn_after=timedelta(hours=24), disable_after=timedelta(days=5), failures=20)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND = timedelta(seconds=1)
WEBHOOKS = "/v1/key/company/webhooks"


def register(tenant: Tenant, **shown: Any) -> Webhook:
    """A webhook whose endpoint has shown this."""
    webhook = Webhook.objects.register(company=tenant.company, url="https://example.com:8443/secret?token=1")[0]
    Endpoint.objects.filter(pk=webhook.pk).update(**shown)
    return webhook


def failing(days: float, *, now: Any = NOON, **shown: Any) -> dict[str, Any]:
    """What an endpoint shows that has failed all the time until now."""
    return {"failing_since": now - days * DAY, "last_failure_at": now, "failures_in_a_row": 50} | shown


def sweep(now: Any = NOON) -> dict[Step, int]:
    return dict(health.sweep(now=now, limits=LIMITS))


def told(tenant: Tenant) -> list[str]:
    events = AuditEvent.objects.filter(workspace=tenant.company.system_workspace).order_by("seq")
    return [event.action for event in events]


def last_told(tenant: Tenant) -> dict[str, Any]:
    return AuditEvent.objects.filter(workspace=tenant.company.system_workspace).latest("seq").payload or {}


@pytest.fixture
def reachable(tenant: Tenant) -> Tenant:
    """A tenant with a contact address."""
    tenant.company.contact_email = "ops@acme.example"
    tenant.company.save()
    return tenant


# --- Deciding ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "step"),
    [
        ({}, Step.NOTHING),
        (failing(1) | {"failing_since": NOON - DAY + SECOND}, Step.NOTHING),
        (failing(1), Step.WARN),
        (failing(1, failures_in_a_row=1), Step.WARN),
        (failing(30), Step.WARN),  # nobody is disabled unwarned
        (failing(5, warned_at=NOON - 4 * DAY), Step.DISABLE),
        (failing(5, warned_at=NOON - 4 * DAY, failures_in_a_row=20), Step.DISABLE),
        (failing(5, warned_at=NOON - 4 * DAY, failures_in_a_row=19), Step.NOTHING),
        (failing(5, warned_at=NOON - 4 * DAY) | {"failing_since": NOON - 5 * DAY + SECOND}, Step.NOTHING),
        (failing(30, warned_at=NOON - 4 * DAY + SECOND), Step.NOTHING),  # a late warning puts it off
        (
            failing(30, warned_at=NOON - 29 * DAY, last_failure_at=NOON - 26 * DAY),
            Step.NOTHING,
        ),  # nothing was sent since
        (failing(30, warned_at=NOON - 29 * DAY, last_failure_at=None), Step.NOTHING),
        ({"warned_at": NOON - DAY}, Step.RECOVERED),
        (failing(0.1, warned_at=NOON - DAY), Step.RECOVERED),  # it succeeded in between
    ],
)
def test_deciding_takes_time_and_evidence(shown: dict[str, Any], step: Step) -> None:
    assert decide(Endpoint(**shown), now=NOON, limits=LIMITS) == step


# --- The sweep --------------------------------------------------------------------------------------------------


def test_an_owner_is_warned_once_with_the_evidence_and_when_the_webhook_will_be_disabled(reachable: Tenant) -> None:
    webhook = register(reachable, **failing(1, failures_in_a_row=7))
    other = Webhook.objects.register(company=reachable.company, url="https://other.example/")[0]
    reachable.record()
    delivery = webhook.deliveries.get()
    webhook.deliveries.update(status="FAILED", next_attempt_at=None)
    WebhookAttempt.objects.create(
        company=reachable.company, delivery=delivery, number=1, started_at=NOON, kind="rejected", http_status=503
    )
    assert sweep() == {Step.WARN: 1}
    assert sweep(NOON + HOUR) == {}
    assert last_told(reachable) == {
        "webhookId": str(webhook.id),
        "url": "https://example.com:8443",
        "consecutiveFailures": 7,
        "failingSince": "2026-01-30T12:00:00.000000Z",
        "lastError": "status 503",
        "disabledFrom": "2026-02-04T12:00:00.000000Z",
        "disabledAfterFailures": 20,
    }
    assert other.deliveries.filter(event__action="webhook.failing").count() == 1
    letter = Job.objects.get(type=EMAIL).payload
    assert letter["to"] == "ops@acme.example"
    assert letter["subject"] == "HyreLog: Your webhook to https://example.com:8443 is failing"
    for fact in (
        "since 2026-01-30 at 12:00 UTC",
        "7 failed",
        "status 503",
        "on 2026-02-04 at 12:00 UTC",
        "at least 20",
    ):
        assert fact in letter["text"]
    assert "token" not in str(letter)


def test_who_goes_on_failing_is_disabled_and_told_so(reachable: Tenant) -> None:
    webhook = register(reachable, **failing(5, warned_at=NOON - 4 * DAY))
    assert sweep() == {Step.DISABLE: 1}
    assert sweep() == {}
    webhook.refresh_from_db()
    assert (webhook.disabled_at, webhook.enabled) == (NOON, False)
    assert webhook.disabled_reason == "nothing but failures for 5.0 days, 50 in a row"
    assert told(reachable) == ["webhook.disabled"]
    assert last_told(reachable)["automatic"] is True
    assert last_told(reachable)["consecutiveFailures"] == 50
    letter = Job.objects.get(type=EMAIL).payload
    assert "was disabled" in letter["subject"]
    assert 'with {"recover": true}' in letter["text"]


def test_who_recovers_after_a_warning_is_told_so_once(reachable: Tenant) -> None:
    webhook = register(reachable, **failing(1))
    sweep()
    Endpoint.objects.update(failing_since=None, failures_in_a_row=0)
    assert sweep() == {Step.RECOVERED: 1}
    assert sweep() == {}
    assert told(reachable) == ["webhook.failing", "webhook.recovered"]
    assert Job.objects.filter(type=EMAIL).count() == 2
    webhook.endpoint.refresh_from_db()
    assert webhook.endpoint.warned_at is None


def test_a_company_without_a_contact_address_is_told_by_the_event_alone(tenant: Tenant) -> None:
    register(tenant, **failing(1))
    sweep()
    assert told(tenant) == ["webhook.failing"]
    assert not Job.objects.exists()


@pytest.mark.parametrize("change", [{"disabled_at": NOON}, {"deleted_at": NOON}])
def test_who_is_disabled_or_deleted_already_is_left_alone(tenant: Tenant, change: dict[str, Any]) -> None:
    register(tenant, **failing(1))
    register(tenant, **failing(5, warned_at=NOON - 4 * DAY))
    Webhook.objects.update(**change)
    assert sweep() == {}
    assert told(tenant) == []


def test_whoever_enables_a_webhook_gives_it_a_fresh_start(tenant: Tenant) -> None:
    webhook = register(tenant, **failing(5, warned_at=NOON - 4 * DAY))
    sweep()
    webhook.refresh_from_db()
    webhook.enable(now=NOON + HOUR)
    assert sweep(NOON + HOUR) == {}
    webhook.refresh_from_db()
    assert webhook.enabled
    assert webhook.endpoint.failures_in_a_row == 0


def test_very_many_are_swept_in_parts(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PART", 2)
    for _ in range(5):
        register(tenant, **failing(1))
    register(tenant)
    assert sweep() == {Step.WARN: 5}


def test_one_sweep_tells_no_more_than_its_most_and_the_next_goes_on(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PART", 2)
    monkeypatch.setattr(health, "MOST", 3)
    for _ in range(5):
        register(tenant, **failing(1))
    assert [sweep(), sweep()] == [{Step.WARN: 4}, {Step.WARN: 1}]


def test_the_sweep_reads_the_index_of_those_that_ail(tenant: Tenant) -> None:
    register(tenant)
    with CaptureQueriesContext(connection) as queries:
        sweep()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + queries[0]["sql"])
        assert "endpoint_ailing" in "\n".join(row[0] for row in cursor.fetchall())


def test_a_tick_is_swept_once(tenant: Tenant) -> None:
    now = timezone.now()
    register(tenant, **failing(1, now=now))
    for _ in range(2):
        check_health("webhook-health", 10**9)
        Endpoint.objects.update(warned_at=None)
    assert told(tenant) == ["webhook.failing"]


# --- Two at once ------------------------------------------------------------------------------------------------


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_two_sweeps_at_once_tell_once(committed: None) -> None:
    tenant = open_tenant("Acme")
    for _ in range(5):
        register(tenant, **failing(1))
    together, counts = threading.Barrier(3), []

    def work() -> None:
        together.wait()
        counts.append(sweep().get(Step.WARN, 0))

    threads = [in_thread(work) for _ in range(3)]
    for thread in threads:
        thread.join()
    assert sum(counts) == 5
    assert told(tenant) == ["webhook.failing"] * 5


def test_a_success_between_the_look_and_the_deed_wins(committed: None) -> None:
    tenant = open_tenant("Acme")
    webhook = register(tenant, **failing(5, warned_at=NOON - 4 * DAY))
    with transaction.atomic():
        Endpoint.objects.update(failing_since=None, failures_in_a_row=0, last_success_at=NOON)
        thread = in_thread(sweep)  # it sees the endpoint as it was, and waits for what this one does
        until(somebody_waits_for_a_lock)
    thread.join()
    webhook.refresh_from_db()
    assert webhook.enabled
    assert told(tenant) == ["webhook.recovered"]


def test_a_company_whose_chain_is_busy_keeps_no_other_waiting(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "PATIENCE", "50ms")
    busy, idle = open_tenant("Acme"), open_tenant("Globex")
    register(busy, **failing(1))
    register(idle, **failing(1))
    with transaction.atomic():
        busy.company.system_workspace.chain_head.lock()
        in_thread(sweep).join()
    assert (told(busy), told(idle)) == ([], ["webhook.failing"])
    assert sweep() == {Step.WARN: 1}


# --- What disables, and who hears of it -------------------------------------------------------------------------


def test_410_is_told_by_e_mail_too(
    reachable: Tenant, webhook: Webhook, receiver: Receiver, sender: Callable[..., Sender], lease: ProcessLease
) -> None:
    receiver.status = 410
    reachable.record()
    sender().run()
    run_job(lease)
    assert told(reachable) == ["webhook.disabled"]
    assert last_told(reachable)["lastError"] == "status 410"
    assert "410" in Job.objects.get(type=EMAIL).payload["text"]


def test_what_a_person_did_is_told_by_the_event_alone(reachable: Tenant) -> None:
    webhook = register(reachable)
    assert webhook.disable(reason="maintenance", now=NOON)
    assert last_told(reachable)["automatic"] is False
    assert webhook.enable(now=NOON) == 0
    assert told(reachable) == ["webhook.disabled", "webhook.enabled"]
    assert not Job.objects.exists()


def test_a_company_s_name_cannot_alter_a_letter(reachable: Tenant) -> None:
    Company.objects.update(name="{webhookId}\r\nBcc: eve@example.com {0}")
    register(reachable, **failing(1))
    sweep()
    letter = Job.objects.get(type=EMAIL).payload
    assert "Bcc" not in letter["subject"]
    assert "Company: {webhookId}\r\nBcc: eve@example.com {0}" in letter["text"]


# --- As the API shows it ----------------------------------------------------------------------------------------


def test_a_webhook_shows_its_health(api: Api, tenant: Tenant) -> None:
    webhook = register(tenant, **failing(1, failures_in_a_row=3, last_success_at=NOON - 2 * DAY))
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    for age, delivered, failed in [(0, 5, 1), (23, 2, 0), (25, 100, 100)]:
        EndpointHour.objects.create(
            endpoint=webhook.endpoint, hour=hour - age * HOUR, delivered=delivered, failed=failed
        )
    shown = api.get(f"{WEBHOOKS}/{webhook.id}").json()["health"]
    assert shown == {
        "consecutiveFailures": 3,
        "failingSince": "2026-01-30T12:00:00.000000Z",
        "lastSuccessAt": "2026-01-29T12:00:00.000000Z",
        "lastFailureAt": "2026-01-31T12:00:00.000000Z",
        "last24h": {"delivered": 7, "failed": 1, "successRate": 0.875},
    }
    assert api.get(WEBHOOKS).json()["webhooks"][0]["health"] == shown


def test_an_endpoint_to_which_nothing_was_sent_has_no_rate(api: Api, tenant: Tenant) -> None:
    register(tenant)
    (shown,) = api.get(WEBHOOKS).json()["webhooks"]
    assert shown["health"]["last24h"] == {"delivered": 0, "failed": 0, "successRate": None}


def test_the_list_reads_the_health_of_all_at_once(api: Api, tenant: Tenant) -> None:
    api.get(WEBHOOKS)  # a key's first use is noted
    counts = []
    for _ in range(2):
        register(tenant)
        with CaptureQueriesContext(connection) as queries:
            api.get(WEBHOOKS)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_webhook_that_an_older_release_made_gets_its_endpoint(tenant: Tenant) -> None:
    webhook = register(tenant)
    Endpoint.objects.all().delete()
    sweep()
    assert Endpoint.objects.get().pk == webhook.pk


def test_another_url_is_another_endpoint_with_no_failures_yet(tenant: Tenant) -> None:
    webhook = register(tenant, **failing(4.9))
    assert webhook.change(url="https://example.com/new")
    endpoint = Endpoint.objects.get()
    assert (endpoint.failures_in_a_row, endpoint.failing_since) == (0, None)


def test_recovering_by_enabling_also_works_where_the_webhook_is_on(tenant: Tenant, webhook: Webhook) -> None:
    webhook.disable(reason="maintenance", now=NOON)
    tenant.record()
    assert webhook.enable(now=NOON + HOUR) == 0
    rescuing.rescue(now=NOON + HOUR)
    held = webhook.deliveries.filter(event__workspace=tenant.workspace)
    assert held.get().status == "HELD"
    assert webhook.enable(now=NOON + HOUR, recover=True) is None
    rescuing.rescue(now=NOON + HOUR)
    assert held.get().status == "PENDING"
