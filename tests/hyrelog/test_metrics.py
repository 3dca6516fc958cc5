from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest

from audit.ids import first_at, uuid7
from hyrelog.ops.gauges import COUNTED, GAUGES
from hyrelog.ops.metrics import DatabaseCollector
from jobs.models import Job, JobAttempt, Pause
from tests.conftest import NOON, Tenant, draft
from tests.plans import read_by, scans
from tests.webhooks.many import seed_deliveries
from webhooks.models import Endpoint, Webhook, WebhookAttempt, WebhookDelivery

LARGE = ("webhooks_webhookdelivery", "webhooks_webhookattempt", "jobs_job", "jobs_jobattempt")
TYPES = 2
"""Of jobs: of each, so many are counted."""


def scrape() -> dict[str, float]:
    """Each sample with its labels as Prometheus reads it, and its number."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector())
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {sample: float(number) for sample, number in (line.rsplit(" ", 1) for line in lines)}


def register(tenant: Tenant) -> Webhook:
    return Webhook.objects.register(company=tenant.company, url="https://example.com/")[0]


@pytest.mark.django_db
def test_an_empty_house_has_every_sample_that_alarms_go_by() -> None:
    samples = scrape()
    assert samples["hyrelog_database_up"] == 1
    assert samples["hyrelog_worker_processes"] == 0
    for kind in ("fresh", "due", "scheduled", "held"):
        assert samples[f'hyrelog_deliveries_waiting{{kind="{kind}"}}'] == 0
    for kind in ("fresh", "due"):
        assert samples[f'hyrelog_delivery_oldest_due_seconds{{kind="{kind}"}}'] == 0
    for queue in ("jobs", "exports"):
        assert samples[f'hyrelog_job_oldest_due_seconds{{queue="{queue}"}}'] == 0


def test_what_waits_is_counted_by_why_it_does(tenant: Tenant) -> None:
    now = timezone.now()
    register(tenant)
    tenant.record(*[draft() for _ in range(10)], now=now)
    rows = list(WebhookDelivery.objects.order_by("id"))
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows[:1]]).update(
        status="FAILED", next_attempt_at=now - timedelta(hours=2)
    )
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows[1:3]]).update(
        status="FAILED", next_attempt_at=now + timedelta(hours=1)
    )
    WebhookDelivery.objects.filter(pk__in=[row.pk for row in rows[3:6]]).update(status="HELD", next_attempt_at=None)
    samples = scrape()
    counts = {kind: samples[f'hyrelog_deliveries_waiting{{kind="{kind}"}}'] for kind in ("fresh", "due", "held")}
    assert counts == {"fresh": 4, "due": 1, "held": 3}
    assert samples['hyrelog_deliveries_waiting{kind="scheduled"}'] == 2
    assert samples['hyrelog_delivery_oldest_due_seconds{kind="due"}'] == pytest.approx(7200, abs=600)


def test_the_oldest_fresh_delivery_is_found_whosever_it_is(tenant: Tenant) -> None:
    webhooks = [register(tenant) for _ in range(3)]
    now = timezone.now()
    tenant.record(now=now)
    for minutes, webhook in zip((5, 90, 20), webhooks, strict=True):
        webhook.deliveries.update(next_attempt_at=now - timedelta(minutes=minutes))
    assert scrape()['hyrelog_delivery_oldest_due_seconds{kind="fresh"}'] == pytest.approx(5400, abs=600)


def test_recent_attempts_are_told_by_what_came_of_them(tenant: Tenant) -> None:
    register(tenant)
    tenant.record()
    delivery, now = WebhookDelivery.objects.get(), timezone.now()
    made = [("failed", "timeout"), ("failed", "timeout"), ("delivered", "delivered"), ("lost", ""), ("sending", "")]
    for number, (result, kind) in enumerate(made, start=1):
        WebhookAttempt.objects.create(
            company=tenant.company, delivery=delivery, number=number, started_at=now, result=result, kind=kind
        )
    old = first_at(now - timedelta(minutes=6))
    WebhookAttempt.objects.create(
        id=old, company=tenant.company, delivery=delivery, number=9, started_at=now, result="failed", kind="dns"
    )
    recent = {sample: number for sample, number in scrape().items() if "recent" in sample}
    expected = {"timeout": 2, "delivered": 1, "lost": 1, "sending": 1}
    assert recent == {f'hyrelog_attempts_recent{{outcome="{name}"}}': count for name, count in expected.items()}


def test_endpoints_are_told_by_how_they_fare(tenant: Tenant) -> None:
    webhooks, now = [register(tenant) for _ in range(4)], timezone.now()
    Endpoint.objects.filter(webhook__in=webhooks[1:3]).update(failing_since=now)
    webhooks[2].disable(reason="test", now=now)
    webhooks[3].delete_softly(now=now)
    samples = scrape()
    states = {state: samples[f'hyrelog_endpoints{{state="{state}"}}'] for state in ("healthy", "failing", "disabled")}
    assert states == {"healthy": 1, "failing": 1, "disabled": 1}


def some_jobs(*jobs: tuple[str, dict[str, Any]]) -> None:
    for job_type, fields in jobs:
        Job.objects.create(**{"type": job_type, "queue": "jobs", "run_at": timezone.now(), "max_attempts": 3} | fields)


def held() -> dict[str, Any]:
    return {"status": "PROCESSING", "claim_token": uuid7(), "claimed_by": uuid7()}


def ended(status: str, **ago: float) -> dict[str, Any]:
    return {"status": status, "completed_at": timezone.now() - timedelta(**ago)}


@pytest.mark.django_db
def test_jobs_are_told_by_queue_and_type() -> None:
    some_jobs(("sleep", {}), ("sleep", {"run_at": NOON + timedelta(days=9_999)}), ("email.send", {}), ("sleep", held()))
    some_jobs(("gdpr.export", {"queue": "exports"}), ("sleep", ended("COMPLETED")))
    expected = {
        'queue="exports",status="PENDING",type="gdpr.export"': 1,
        'queue="jobs",status="PENDING",type="email.send"': 1,
        'queue="jobs",status="PENDING",type="sleep"': 2,
        'queue="jobs",status="PROCESSING",type="sleep"': 1,
    }
    active = {sample: number for sample, number in scrape().items() if "jobs_active" in sample}
    assert active == {f"hyrelog_jobs_active{{{labels}}}": count for labels, count in expected.items()}


@pytest.mark.django_db
def test_the_oldest_due_job_of_each_queue_is_told_and_zero_where_none_is_due() -> None:
    some_jobs(("sleep", {"run_at": timezone.now() - timedelta(hours=2)}), ("sleep", {}))
    some_jobs(("gdpr.export", {"queue": "exports", "run_at": timezone.now() + timedelta(hours=1)}))
    samples = scrape()
    assert samples['hyrelog_job_oldest_due_seconds{queue="jobs"}'] == pytest.approx(7200, abs=600)
    assert samples['hyrelog_job_oldest_due_seconds{queue="exports"}'] == 0


@pytest.mark.django_db
def test_dead_letters_are_told_by_type_and_those_of_the_last_hour_apart() -> None:
    some_jobs(("sleep", ended("FAILED", minutes=5)), ("sleep", ended("FAILED", hours=5)))
    some_jobs(("email.send", ended("COMPLETED")), ("jobs.alert", ended("FAILED", days=2)))
    samples = scrape()
    kept = {job_type: samples[f'hyrelog_job_dead_letters{{type="{job_type}"}}'] for job_type in ("sleep", "jobs.alert")}
    assert kept == {"sleep": 2, "jobs.alert": 1}
    died = {name: samples[f'hyrelog_jobs_died_recent{{type="{name}"}}'] for name in ("sleep", "jobs.alert")}
    assert died == {"sleep": 1, "jobs.alert": 0}
    assert samples['hyrelog_jobs_died_recent{type="email.send"}'] == 0


@pytest.mark.django_db
def test_recent_attempts_at_jobs_are_told_by_what_came_of_them() -> None:
    some_jobs(("sleep", {}))
    job, now = Job.objects.get(), timezone.now()
    outcomes = ["completed", "failed", "failed", "timed_out", "lost", "cancelled", "handed_back", "snoozed"]
    made = [(uuid7(), outcome) for outcome in outcomes] + [(first_at(now - timedelta(minutes=6)), "lost")]
    for token, outcome in made:
        JobAttempt.objects.create(id=token, job=job, number=1, outcome=outcome, ended_at=now)
    recent = {sample: number for sample, number in scrape().items() if "job_attempts_recent" in sample}
    expected = {outcome: outcomes.count(outcome) for outcome in outcomes}
    assert recent == {f'hyrelog_job_attempts_recent{{outcome="{name}"}}': count for name, count in expected.items()}


@pytest.mark.django_db
def test_what_is_paused_is_told() -> None:
    Pause.objects.create(kind="type", name="sleep")
    assert scrape()['hyrelog_jobs_paused{kind="type",name="sleep"}'] == 1


@pytest.mark.django_db
def test_limits_are_told_of_each_type(settings: Any) -> None:
    settings.JOB_CONCURRENCY = 7
    assert scrape()['hyrelog_job_concurrency{type="sleep"}'] == 7


# Of two types: 15,000 of each wait and as many have failed for good, few run; each has an attempt of today.
_SEED_JOBS = """
    INSERT INTO jobs_job (id, company_id, type, queue, payload, priority, status, run_at, attempt, max_attempts,
        progress, step, error, traceback, created_at, completed_at, claim_token, claimed_by)
    SELECT rpad(lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || lpad(to_hex(n), 8, '0'),
            32, '0')::uuid,
        %(company)s, CASE n %% 2 WHEN 0 THEN 'sleep' ELSE 'email.send' END, 'jobs', '{}', 0, status,
        now() - n * interval '1 second', 1, 3, 0, '', '', '', now(),
        CASE WHEN status IN ('FAILED', 'COMPLETED') THEN now() - n * interval '1 second' END,
        CASE WHEN status = 'PROCESSING' THEN gen_random_uuid() END,
        CASE WHEN status = 'PROCESSING' THEN gen_random_uuid() END
    FROM (
        SELECT n, CASE WHEN n <= 20 THEN 'PROCESSING' ELSE (ARRAY['PENDING', 'FAILED', 'COMPLETED'])[n %% 3 + 1] END
            AS status
        FROM generate_series(1, 90000) AS n
    ) AS made
"""
_SEED_JOB_ATTEMPTS = """
    INSERT INTO jobs_jobattempt (id, job_id, company_id, number, outcome, worker, error, traceback, started_at,
        ended_at)
    SELECT id, id, company_id, 1, 'completed', '', '', '', now(), now() FROM jobs_job
"""


def seed_jobs(tenant: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SEED_JOBS, {"company": tenant.company.id})
        cursor.execute(_SEED_JOB_ATTEMPTS)
        cursor.execute("ANALYZE jobs_job")
        cursor.execute("ANALYZE jobs_jobattempt")


def test_a_scrape_reads_a_large_table_by_its_indexes_and_within_a_bound(tenant: Tenant, unchecked: None) -> None:
    seed_deliveries(tenant, webhooks=40, today=timezone.now())
    seed_jobs(tenant)
    read: list[tuple[str, float]] = []
    ways: set[str] = set()
    explained: Callable[[str], Any] = "EXPLAIN (ANALYZE, FORMAT JSON) {}".format
    with connection.cursor() as cursor:
        for gauge in GAUGES:
            cursor.execute(explained(gauge.statement))
            parts = [part for part in scans(cursor.fetchone()[0][0]["Plan"]) if part.get("Relation Name") in LARGE]
            ways.update(part["Node Type"] for part in parts)
            read.extend((gauge.name, read_by(part)) for part in parts)
    assert len(read) >= 20
    assert ways <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    assert [scan for scan in read if scan[1] > COUNTED * TYPES] == []
