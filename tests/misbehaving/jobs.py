"""Jobs of the misbehaving handlers, and what becomes of them, for tests that share the worker's database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.utils import timezone

from jobs import doorbell
from jobs.models import Job
from tests.system import wait_until

SOON = 30
"""Seconds: patience with a busy machine."""
Story = tuple[str, list[str], int]
"""A job's status, how its attempts ended, and how often its handler came to its end."""


@contextmanager
def marks() -> Iterator[None]:
    """The table in which handlers that come to their end leave a mark."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE mark (job uuid NOT NULL, attempt int NOT NULL)")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE mark")


def add(way: str, *, job_type: str = "test.long", max_attempts: int = 2, **payload: Any) -> Job:
    job = Job.objects.create(
        type=job_type, queue="jobs", payload={"way": way, **payload}, max_attempts=max_attempts, run_at=timezone.now()
    )
    doorbell.ring("jobs")
    return job


def wait_begun(*jobs: Job) -> None:
    running = Job.objects.filter(pk__in=[job.pk for job in jobs], status=Job.Status.PROCESSING)
    wait_until(lambda: running.count() == len(jobs), seconds=SOON, what="all begun", state=lambda: list(running))


def story(job: Job) -> Story:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM mark WHERE job = %s", [job.pk])
        (marks,) = cursor.fetchone()
    job.refresh_from_db()
    return job.status, list(job.history.order_by("id").values_list("outcome", flat=True)), marks


def wait_story(job: Job, *expected: Any, seconds: float = SOON) -> None:
    wait_until(lambda: story(job) == expected, seconds=seconds, what=f"{expected}", state=lambda: story(job))
