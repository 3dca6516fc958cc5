"""Publishing, with a real Redis: what a subscriber hears, and what whoever publishes notices of a dead one."""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import transaction

from hyrelog.dev.state import CHECKOUT
from jobs import publishing, redis_client
from jobs.enqueueing import enqueue
from jobs.models import Job
from tests.conftest import NOON, open_tenant

LAST_WORDS = """
import sys, django
django.setup()
from datetime import datetime, UTC
from jobs import publishing
from jobs.models import Job
now = datetime.now(UTC)
job = Job(company_id=sys.argv[1], type="test", run_at=now, created_at=now, max_attempts=1, lost=0)
publishing.publish("created", job)
"""


class Heard:
    """What is published on the channel of a company."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription

    def next(self, timeout: float = 10) -> dict[str, Any] | None:
        message = self._subscription.get_message(ignore_subscribe_messages=True, timeout=timeout)
        found: dict[str, Any] | None = message and json.loads(message["data"])
        return found


@contextmanager
def listening(company_id: uuid.UUID) -> Iterator[Heard]:
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as subscription:
        subscription.subscribe(publishing.channel(company_id))
        assert subscription.get_message(timeout=10)["type"] == "subscribe"
        yield Heard(subscription)


@pytest.fixture
def silent_redis(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that accepts and never answers, which is the worst of dead ones."""
    assert publishing.wait_published(10)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(redis_client, "_client", None)
        monkeypatch.setattr(redis_client, "PATIENCE", 0.5)
        yield
        assert publishing.wait_published(30)


def job(company_id: uuid.UUID | None) -> Job:
    return Job(company_id=company_id, type="test", run_at=NOON, created_at=NOON, max_attempts=1, lost=0)


def test_an_event_is_published_once_it_is_committed(committed: None) -> None:
    company = open_tenant("Acme").company
    with listening(company.pk) as heard:
        with transaction.atomic():
            made, _ = enqueue("sleep", {"seconds": 0}, company=company, now=NOON)
            assert publishing.wait_published(10)
            assert heard.next(timeout=0.1) is None
        message = heard.next()
    assert message
    assert message.keys() == {"event", "at", "job"}
    assert (message["event"], message["job"]["jobId"]) == ("created", str(made.pk))


def test_a_message_shows_the_job_as_the_api_does_but_for_its_result() -> None:
    shown = job(uuid.uuid4())
    shown.payload, shown.result, shown.traceback = {"a": "PAYLOAD"}, {"b": "RESULT"}, "TRACEBACK"
    with listening(shown.company_id) as heard:  # type: ignore[arg-type]
        publishing.publish("completed", shown)
        message = heard.next()
    assert message
    told, shown_by_api = message["job"], shown.as_json()
    assert shown_by_api.pop("result") == {"b": "RESULT"}
    assert told == shown_by_api
    assert not any(word in json.dumps(message) for word in ("PAYLOAD", "RESULT", "TRACEBACK"))


def test_each_company_has_a_channel_of_its_own_and_jobs_of_none_have_no_channel() -> None:
    ours, theirs = uuid.uuid4(), uuid.uuid4()
    with listening(ours) as heard:
        for company_id in (theirs, None, ours):
            publishing.publish("created", job(company_id))
        assert publishing.wait_published(10)
        assert heard.next()
        assert heard.next(timeout=0.1) is None


def test_a_dead_redis_neither_fails_nor_stalls_and_what_waited_is_dropped(
    silent_redis: None, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3 * publishing.BATCH):
        publishing.publish("progress", job(uuid.uuid4()))
    assert not publishing.wait_published(0)  # whoever published goes on while the thread still tries
    assert publishing.wait_published(30)
    assert [record.args[0] for record in caplog.records if record.args] == [3 * publishing.BATCH]  # type: ignore[index]


def test_what_does_not_fit_is_dropped(silent_redis: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MOST_WAITING", 5)
    for _ in range(100):
        publishing.publish("progress", job(uuid.uuid4()))
    assert len(publishing._publisher.waiting) <= 5


def test_a_forked_child_publishes_by_a_thread_of_its_own() -> None:
    company_id = uuid.uuid4()
    publishing.publish("created", job(uuid.uuid4()))  # the parent's thread and connection are there
    assert publishing.wait_published(10)
    with listening(company_id) as heard:
        if (child := os.fork()) == 0:
            signal.alarm(20)
            publishing.publish("started", job(company_id))
            os._exit(0 if publishing.wait_published(10) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert (message := heard.next())
        assert message["event"] == "started"


def test_a_process_that_ends_at_once_still_gets_its_message_out() -> None:
    company_id = uuid.uuid4()
    with listening(company_id) as heard:
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "hyrelog.settings"}
        command = [sys.executable, "-c", LAST_WORDS, str(company_id)]
        subprocess.run(command, cwd=CHECKOUT, env=environment, check=True, timeout=60)
        assert (message := heard.next())
        assert message["event"] == "created"
