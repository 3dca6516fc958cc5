"""A real Celery worker on the database and the broker of the tests; nobody polls beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.db import connection

from jobs.models import Tick, WorkerProcess
from tests.system import ROOT, wait_until


@contextmanager
def worker(*, processes: int, log: Path) -> Iterator[None]:
    """While it runs; only bells wake it, for beat seems to be there and is not."""
    Tick.objects.claim(name="test", period=1)
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    command = [sys.executable, "-m", "celery", "-A", "tests.jobs.paced", "worker", "-c", str(processes), "-Q", "jobs"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "-l", "INFO"], cwd=ROOT, env=os.environ | {"DATABASE_URL": url}, stdout=file, stderr=file
        )
    try:
        wait_until(
            lambda: WorkerProcess.objects.count() >= processes, seconds=60, what="the worker", state=log.read_text
        )
        yield
    finally:
        process.terminate()
        process.wait(60)
