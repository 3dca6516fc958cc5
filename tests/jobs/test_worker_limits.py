"""Rates, schedules and turns, as a real worker keeps them which only bells wake."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from audit.models import Company
from jobs import doorbell
from jobs.enqueueing import enqueue, enqueue_many
from jobs.models import Job, Tick
from tests.system import wait_until
from tests.workers import running_worker

FLOOD = 20


@pytest.fixture(autouse=True)
def broker(committed: None) -> Iterator[None]:
    """Without a bell that others rang or left a mark of; and beat seems to be there, so that nobody polls."""
    Tick.objects.claim(name="test", period=1)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        assert doorbell.wait_published(10)
        client.flushall()
        yield
        assert doorbell.wait_published(10)
        client.flushall()


def test_without_a_poll_a_rate_is_kept_and_what_is_scheduled_begins_by_a_bell_of_its_own(tmp_path: Path) -> None:
    ended = Job.objects.filter(status=Job.Status.COMPLETED)
    with running_worker(tmp_path, "-Q", "jobs", processes=4):
        paced = {"type": "test.paced", "queue": "jobs", "max_attempts": 1, "run_at": timezone.now()}
        Job.objects.bulk_create(Job(**paced) for _ in range(20))
        doorbell.ring("jobs")
        wait_until(lambda: ended.count() == 20, seconds=60, what="20 jobs", state=lambda: str(ended.count()))
        starts = list(Job.objects.order_by("started_at").values_list("started_at", flat=True))
        run_at = timezone.now() + timedelta(seconds=3)
        job, _ = enqueue("sleep", {"seconds": 0}, run_at=run_at)
        wait_until(lambda: ended.count() == 21, seconds=60, what="its end")
    assert all(after - before >= timedelta(seconds=0.1) for before, after in pairwise(starts) if before and after)
    job.refresh_from_db()
    assert job.started_at
    assert job.started_at >= run_at


@pytest.mark.parametrize("processes", [4, 6])
def test_one_company_s_flood_of_long_jobs_blocks_no_other_company(tmp_path: Path, processes: int) -> None:
    flooding, other = Company.objects.open(name="flooding"), Company.objects.open(name="other")
    running = Job.objects.filter(status=Job.Status.PROCESSING, company=flooding)
    with running_worker(tmp_path, "-Q", "jobs", processes=processes):
        enqueue_many("sleep", [{"seconds": 600}] * FLOOD, company=flooding)
        wait_until(lambda: running.count() == processes - 3, seconds=60, what="as many as there is room for")
        job, _ = enqueue("sleep", {"seconds": 0}, company=other)
        wait_until(lambda: Job.objects.get(pk=job.pk).completed_at, seconds=60, what="the other company's job")
        assert running.count() == processes - 3
