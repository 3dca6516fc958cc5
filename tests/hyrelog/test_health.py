import socket
from typing import Any

import pytest
from django.test import Client
from prometheus_client import CollectorRegistry, generate_latest

from hyrelog.ops.metrics import DatabaseCollector
from jobs import doorbell
from jobs.leases import ProcessLease
from jobs.models import Tick
from tests.conftest import Tenant
from webhooks.models import Webhook


def checks(client: Client) -> tuple[int, dict[str, str]]:
    answer = client.get("/readyz")
    return answer.status_code, answer.json()["checks"]


def test_healthz_asks_nobody(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_readyz_tells_what_is_missing(client: Client) -> None:
    status, parts = checks(client)
    assert status == 503
    assert "celery -A hyrelog worker" in parts["worker"]
    assert "celery -A hyrelog beat" in parts["beat"]
    assert (parts["database"], parts["redis"], parts["migrations"]) == ("ok", "ok", "ok")


def test_readyz_is_ok_when_every_part_works(client: Client, lease: ProcessLease) -> None:
    _ = lease.process_id
    Tick.objects.claim(name="sweep", period=60)
    assert checks(client)[0] == 200


@pytest.mark.django_db
def test_readyz_names_redis_when_it_is_away(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert checks(client)[1]["redis"] == "failed: ConnectionError"


def test_metrics_tell_what_waits(tenant: Tenant) -> None:
    Webhook.objects.register(company=tenant.company, url="https://example.com/")
    tenant.record()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector())
    lines = generate_latest(registry).decode().splitlines()
    assert 'hyrelog_deliveries_waiting{status="PENDING"} 1.0' in lines
    assert "hyrelog_database_up 1.0" in lines
    assert "hyrelog_worker_processes 0.0" in lines


def test_a_dead_broker_neither_fails_nor_stalls_whoever_rings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that accepts and never answers is the worst of dead brokers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(doorbell, "_client", None)
        doorbell.ring("webhooks")
        assert not doorbell.wait_published(0)  # whoever rang goes on while the thread still tries
        assert doorbell.wait_published(10)


@pytest.mark.django_db
def test_the_admin_asks_who_it_is(client: Client) -> None:
    assert client.get("/admin/").headers["location"].startswith("/admin/login/")
