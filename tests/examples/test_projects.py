"""The examples as their users plug them in: a project of its own, whose settings add the app to HyreLog's."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hyrelog.dev.state import CHECKOUT
from tests.examples.reviews.pages import review, serve_source
from tests.system import System, wait_until

PROJECT = {"PYTHONPATH": str(CHECKOUT / "examples"), "DJANGO_SETTINGS_MODULE": "reviews.settings"}
DECLARED = [f"tests/architecture/test_{name}.py" for name in ("personal_data", "erasable_data")]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def in_project() -> Run:
    """Runs Python with the settings of the example, on a database of its own."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/reviews").geturl()

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env=os.environ | PROJECT | {"DATABASE_URL": database},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def test_the_review_service_passes_its_tests_and_declares_its_tables(in_project: Run) -> None:
    done = in_project("-m", "pytest", "-q", "tests/examples/reviews", *DECLARED)
    assert done.returncode == 0, done.stdout


def test_the_review_service_s_migrations_are_complete(in_project: Run) -> None:
    done = in_project("-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run", "--skip-checks", "reviews")
    assert done.returncode == 0, done.stdout


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    """The project as a whole, with servers and processes of its own."""
    for name, value in PROJECT.items():
        monkeypatch.setenv(name, value)
    system = System(tmp_path)
    try:
        system.start("--only", "web,worker,beat")
        yield system
    finally:
        system.stop()


REQUEST = """
import datetime
from audit.models import Company
from reviews.models import Connector
from reviews.requesting import request_ingest_and_score

day, company = datetime.date(2026, 1, 15), Company.objects.open(name="Shop")
Connector.objects.create(company=company, name="shop", url="{url}")
for _ in range(2):
    job, new = request_ingest_and_score(tenant=company.id, connector="shop", since=day, end=day, version=1)
    print(job.id, new)
"""

JOBS = """
SELECT type, status, attempt, result->>'reviews', result->>'count' FROM jobs_job
WHERE type IN ('ingest_reviews', 'score_run') ORDER BY type
"""


def test_the_workers_of_a_project_run_its_jobs(project: System) -> None:
    with serve_source() as source:
        source.pages, source.failures = [[review(n) for n in range(p, p + 100)] for p in (0, 100)], [None, 503]
        enqueued = threading.Event()
        source.before_answer = lambda: enqueued.wait(60)  # the job runs until then
        said = project.manage("shell", "-v", "0", "-c", REQUEST.format(url=source.url)).stdout
        (first, new), (again, new_again) = (line.split() for line in said.splitlines())
        enqueued.set()
        assert (first, new, new_again) == (again, "True", "False")
        done = [("ingest_reviews", "COMPLETED", 2, "200", None), ("score_run", "COMPLETED", 1, None, "200")]
        wait_until(lambda: project.sql(JOBS) == done, seconds=60, what="both jobs", state=lambda: project.sql(JOBS))
    assert project.sql("SELECT count(*) FROM reviews_review") == [(200,)]
