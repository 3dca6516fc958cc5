"""The examples as their users plug them in: a project of its own, whose settings add the app to HyreLog's."""

import os
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from hyrelog.dev.state import CHECKOUT

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def in_project() -> Run:
    """Runs Python with the settings of the example, on a database of its own."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/reviews").geturl()
    environment = {"PYTHONPATH": str(CHECKOUT / "examples"), "DJANGO_SETTINGS_MODULE": "reviews.settings"}
    environment |= {"DATABASE_URL": database}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def test_the_review_service_passes_its_tests_and_declares_its_tables(in_project: Run) -> None:
    done = in_project("-m", "pytest", "-q", "tests/examples/reviews", "tests/architecture/test_personal_data.py")
    assert done.returncode == 0, done.stdout


def test_the_review_service_s_migrations_are_complete(in_project: Run) -> None:
    done = in_project("-W", "ignore", "manage.py", "makemigrations", "--check", "--dry-run", "--skip-checks", "reviews")
    assert done.returncode == 0, done.stdout
