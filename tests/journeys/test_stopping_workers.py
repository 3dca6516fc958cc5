"""A real worker is asked to stop: it ends in bounded time, with what it could not finish handed back."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import current_app

from jobs.models import WorkerProcess
from tests.conftest import Tenant
from tests.misbehaving.jobs import add, marks, story, wait_begun
from tests.receiver import Receiver
from tests.system import wait_until
from tests.workers import Worker, running_worker
from webhooks.models import Webhook, WebhookDelivery

SOON = 30
"""Seconds: patience with a busy machine."""
HANDED_BACK = ("PENDING", ["handed_back"], 0)


@pytest.fixture
def worker(committed: None, tmp_path: Path) -> Iterator[Worker]:
    with marks(), running_worker(tmp_path, processes=8) as worker:
        yield worker


@pytest.fixture
def on_the_wire(worker: Worker, tenant: Tenant, receiver: Receiver) -> Iterator[Receiver]:
    """A delivery whose receiver lets it wait until `gate` is set."""
    Webhook.objects.register(company=tenant.company, url=receiver.url)
    receiver.gate.clear()
    tenant.record()
    assert receiver.wait_for(1, timeout=SOON)
    yield receiver
    receiver.gate.set()


def stop(worker: Worker, *signals: signal.Signals) -> None:
    """Send signals, and wait for its end."""
    for number in signals:
        worker.tell(number)
        wait_until(lambda: "worker.stopping" in worker.said(), seconds=SOON, what="a word of it", state=worker.said)
    began = time.monotonic()
    worker.exit_status(within=SOON)
    names = ", ".join(number.name for number in signals)
    print(f"\n{names}: {time.monotonic() - began:.1f} s")  # noqa: T201  the figure is what one wants to see


def test_what_is_unfinished_is_handed_back_and_what_is_on_the_wire_is_brought_home(
    worker: Worker, on_the_wire: Receiver
) -> None:
    jobs = [add("listen"), add("sleep"), add("query"), add("compute"), add("sleep", seconds=1)]
    wait_begun(*jobs)
    worker.tell(signal.SIGTERM)
    wait_until(lambda: story(jobs[0]) == HANDED_BACK, seconds=SOON, what="the listener's end")
    later = add("listen")
    on_the_wire.gate.set()
    stop(worker)
    assert worker.process.returncode == 0
    assert [story(job) for job in jobs] == [*[HANDED_BACK] * 4, ("COMPLETED", ["completed"], 1)]
    assert {job.attempt for job in jobs[:4]} == {0}
    assert story(later) == ("PENDING", [], 0)
    assert WebhookDelivery.objects.get().status == "SUCCESS"
    assert not WorkerProcess.objects.exists()
    assert "Traceback" not in worker.said()


def test_an_operator_may_stop_it_from_afar_as_flower_does(worker: Worker) -> None:
    jobs = [add("listen"), add("sleep")]
    wait_begun(*jobs)
    current_app.control.shutdown()
    stop(worker)
    assert worker.process.returncode == 0
    assert [story(job) for job in jobs] == [HANDED_BACK] * 2


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGINT], [signal.SIGQUIT]],
    ids=["SIGTERM twice", "Ctrl+C twice", "SIGQUIT"],
)
def test_asked_again_it_ends_at_once_with_its_jobs_handed_back(
    worker: Worker, on_the_wire: Receiver, signals: list[signal.Signals]
) -> None:
    jobs = [add("listen"), add("sleep"), add("query")]
    stuck = add("hold interpreter")
    wait_begun(*jobs, stuck)
    stop(worker, *signals)
    assert {story(job)[0] for job in jobs} == {"PENDING"}
    assert [story(job) for job in jobs] == [HANDED_BACK] * 3
    assert story(stuck) == ("PROCESSING", ["running"], 0)  # until its lease has run out
    assert WebhookDelivery.objects.get().status == "SENDING"
    assert "Traceback" not in worker.said()


def test_without_postgres_and_redis_it_ends_in_bounded_time_too(worker: Worker, on_the_wire: Receiver) -> None:
    jobs = [add("listen"), add("sleep"), add("hold interpreter")]
    wait_begun(*jobs)
    worker.redis.close()
    worker.database.close()
    stop(worker, signal.SIGTERM)
    assert worker.process.returncode == 0
    assert {story(job)[0] for job in jobs} == {"PROCESSING"}
