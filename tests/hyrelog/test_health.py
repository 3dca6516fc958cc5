import socket
from typing import Any

import pytest
from django.test import Client

from hyrelog.celery import QUEUES
from jobs import doorbell, redis_client
from jobs.models import Tick, WorkerProcess


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


@pytest.mark.django_db
def test_readyz_is_ok_when_every_part_works(client: Client) -> None:
    WorkerProcess.objects.register(queues=list(QUEUES))
    Tick.objects.claim(name="sweep", period=60)
    assert checks(client)[0] == 200


@pytest.mark.django_db
def test_readyz_names_the_queues_that_no_worker_serves(client: Client) -> None:
    WorkerProcess.objects.register(queues=["webhooks", "housekeeping"])
    status, parts = checks(client)
    assert status == 503
    assert parts["worker"] == (
        "no worker serves the queue exports; start one with `-Q exports`; "
        "no worker serves the queue jobs; start one with `-Q jobs`"
    )


@pytest.mark.django_db
def test_readyz_names_redis_when_it_is_away(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert checks(client)[1]["redis"] == "failed: ConnectionError"


def test_a_dead_broker_neither_fails_nor_stalls_whoever_rings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that accepts and never answers is the worst of dead brokers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(redis_client, "_client", None)
        monkeypatch.setattr(redis_client, "PATIENCE", 0.5)
        doorbell.ring("webhooks")
        assert not doorbell.wait_published(0)  # whoever rang goes on while the thread still tries
        assert doorbell.wait_published(10)


@pytest.mark.django_db
def test_the_admin_asks_who_it_is(client: Client) -> None:
    assert client.get("/admin/").headers["location"].startswith("/admin/login/")
