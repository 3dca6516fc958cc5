"""What the benchmarks play on: servers of their own, durable as in production, an empty database, and real workers."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from hyrelog.dev.hosting import find_hosting
from hyrelog.dev.postgres import Postgres
from hyrelog.dev.redis import Redis

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def stage(**settings: str) -> Iterator[None]:
    """Make a set-up of one's own the environment's, with Django ready and the database migrated."""
    home = Path(tempfile.mkdtemp(prefix="hyrelog-bench-"))
    home.chmod(0o711)
    hosting = find_hosting(home, announce=lambda _: None)
    servers = {
        "DATABASE_URL": Postgres(hosting, announce=lambda _: None),
        "REDIS_URL": Redis(hosting, announce=lambda _: None),
    }
    try:
        for variable, server in servers.items():
            server.start()
            os.environ[variable] = server.url
        os.environ |= {
            "HYRELOG_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "hyrelog.settings",
            "SECRET_KEY": "for-benchmarks-only",
            "HYRELOG_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "HYRELOG_SIGNING_KEY": "00" * 32,
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "WEBHOOK_ALLOW_HTTP": "true",
            "LOG_FORMAT": "json",
            **settings,
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
        import django

        django.setup()
        yield
    finally:
        for server in reversed(servers.values()):
            server.stop()
        shutil.rmtree(home, ignore_errors=True)
        if hosting.folder != home:
            shutil.rmtree(hosting.folder, ignore_errors=True)


@contextmanager
def receiver(*, delay: float = 0.0, log: Path | None = None) -> Iterator[str]:
    """A receiver in a process of its own, which logs arrivals into `log`; yields its URL, without a path."""
    command = [sys.executable, "-m", "benchmarks.receiver", str(delay), *([str(log)] if log else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


@contextmanager
def worker(*, senders: int) -> Iterator[int]:
    """A Celery worker with so many processes that send, ready to hear; yields the pid of the parent."""
    from jobs.models import WorkerProcess

    processes = senders + 2  # one is kept for jobs, one for ticks
    queues = "webhooks,housekeeping"
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "hyrelog",
        "worker",
        "-c",
        str(processes),
        "-Q",
        queues,
        "-l",
        "WARNING",
    ]
    with (Path(os.environ["HYRELOG_HOME"]) / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(lambda: WorkerProcess.objects.count() >= processes, seconds=60)
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)
        WorkerProcess.objects.all().delete()


def arrivals(log: Path) -> dict[str, float]:
    """When the first byte of each event came first, in seconds of Unix time, by the event's id."""
    came: dict[str, float] = {}
    for line in log.read_text(encoding="ascii").splitlines():
        event, at = line.split()
        came.setdefault(event, float(at))
    return came


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not pass."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def wait_until(condition: Callable[[], object], *, seconds: float) -> None:
    """Raises TimeoutError where `condition` stays false for so long."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {seconds} s in vain")
        time.sleep(0.1)
