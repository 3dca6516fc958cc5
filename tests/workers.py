"""A real Celery worker beside the test, on the test's own database and Redis, which it may be cut off from."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from django.conf import settings

from tests.system import ROOT, wait_until


class Gateway:
    """A port that leads to a server, until it is closed."""

    def __init__(self, url: str, *, path: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        credentials, at, _ = parts.netloc.rpartition("@")
        place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = parts._replace(netloc=f"{credentials}{at}{place}", path=path).geturl()
        self._begin(self._accept)

    def close(self) -> None:
        """Everybody who came through is cut off, and nobody comes through any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._open):
            end.close()

    def _begin(self, run: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                self._begin(self._pass_on, near, far)
                self._begin(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Worker:
    """A worker process with children, which knows tests.misbehaving; its log is kept for whoever reads a failure."""

    def __init__(self, log: Path, *arguments: str, processes: int, database: Gateway, redis: Gateway) -> None:
        self.log = log
        self.database, self.redis = database, redis
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.misbehaving.settings",
            "JOB_SHUTDOWN_TIMEOUT": "2",
            "DATABASE_URL": database.url,
            "REDIS_URL": redis.url,
            "NO_COLOR": "1",
        }
        command = [sys.executable, "-m", "celery", "-A", "hyrelog", "worker", "-l", "INFO", "-c", str(processes)]
        command += arguments
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.said()
            return " ready." in self.said()

        wait_until(ready, seconds=60, what="a worker that is ready", state=self.said)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_status(self, *, within: float) -> int:
        """Wait for its end."""
        ended = wait_until(
            lambda: self.process.poll() is not None, seconds=within, what="the worker's end", state=self.said
        )
        assert ended
        return int(self.process.returncode)


@contextmanager
def running_worker(folder: Path, *arguments: str, processes: int) -> Iterator[Worker]:
    with ExitStack() as stack:
        name = settings.DATABASES["default"]["NAME"]
        database = Gateway(os.environ["DATABASE_URL"], path=f"/{name}")
        redis = Gateway(os.environ["REDIS_URL"], path=urlsplit(os.environ["REDIS_URL"]).path)
        stack.callback(database.close)
        stack.callback(redis.close)
        worker = Worker(folder / "worker.log", *arguments, processes=processes, database=database, redis=redis)
        stack.callback(_clear_away, worker)
        worker.wait_ready()
        yield worker


def _clear_away(worker: Worker) -> None:
    with suppress(ProcessLookupError):
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
