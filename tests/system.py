"""HyreLog as a whole: `manage.py up` with servers, processes and state of its own."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

PORTS = ("PORT", "FLOWER_PORT", "METRICS_PORT", "RECEIVER_PORT")
ROOT = Path(__file__).resolve().parents[1]


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str, state: Callable[[], Any] = str) -> Any:
    """What `condition()` gives once it is true; fails the test, with what `state()` gives, where it stays false."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.05)  # between two looks at a condition
    return pytest.fail(f"waited {seconds} s in vain: {what}; there is {state()}")


OF_THE_RUN = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "HYRELOG_ENCRYPTION_KEYS", "HYRELOG_SIGNING_KEY")
"""What the run of the tests sets for itself; a whole system makes its own."""


@contextmanager
def running_system(**environment: str) -> Iterator["System"]:
    """HyreLog as a whole, with servers, processes and state of its own, gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="hyrelog-system-"))
    home.chmod(0o711)  # as root, the account that runs the servers passes through it, and their data goes with it
    system = System(home, **environment)
    try:
        system.start()
        yield system
    finally:
        system.stop()
        shutil.rmtree(home, ignore_errors=True)


class System:
    """One `up`, which can be stopped and started again; its log is kept for whoever reads a failure."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home, self.log = home, home / "up.log"
        first = random.randrange(20_000, 30_000, len(PORTS))  # noqa: S311  far from what else starts on this machine
        ports = {name: str(first + n) for n, name in enumerate(PORTS)}
        own = {"HYRELOG_HOME": str(home / "state"), "NO_COLOR": "1", "GDPR_EXPORTS_PER_DAY": "1000"}
        self._own = own | ports | environment
        self._up: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in {*OF_THE_RUN, "LOG_FORMAT"}}
        environment |= self._own
        (self.home / "state" / "run.json").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._up = subprocess.Popen(
                [sys.executable, "manage.py", "up", *arguments],
                cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        wait_until(self._is_ready, seconds=60, what=f"/readyz; see {self.log}")

    def stop(self) -> None:
        if self._up is not None:
            self._up.send_signal(signal.SIGINT)
            self._up.wait(30)
            self._up = None

    @property
    def stopped(self) -> bool:
        return self._up is None

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "state" / "run.json").read_text())
        return found

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = os.environ | self._own
        for name in OF_THE_RUN:
            environment.pop(name, None)
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=check)

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.run["database_url"], autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def post(self, path: str, body: Any = None, *, key: str = "company_key") -> Any:
        return self._ask("POST", path, key=key, json=body or {})

    def patch(self, path: str, body: Any) -> Any:
        return self._ask("PATCH", path, key="company_key", json=body)

    def get(self, path: str, *, key: str = "company_key", **query: Any) -> Any:
        return self._ask("GET", path, key=key, params=query)

    def record(self, *actions: str) -> list[str]:
        """Record events through the API; their ids."""
        events = [{"action": action, "category": "test", "payload": {"n": n}} for n, action in enumerate(actions)]
        answer = self.post("/v1/key/workspace/events/batch", {"events": events}, key="workspace_key")
        return [event["id"] for event in answer["events"]]

    def register(self, url: str, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.post("/v1/key/company/webhooks", {"url": url, **fields})
        return made

    def advance_clock(self, seconds: int) -> None:
        """Let time pass for all that waits: the same as moving what they wait for."""
        self.sql(
            "UPDATE webhooks_webhookdelivery SET next_attempt_at = next_attempt_at - %s * interval '1 second' "
            "WHERE next_attempt_at IS NOT NULL",
            seconds,
        )

    @contextmanager
    def without_ticks(self) -> Iterator[None]:
        """Beat stands still, and no tick is left to come."""
        last = "SELECT max(claimed_at), max(claimed_at) < now() - interval '6 seconds' FROM jobs_tick"
        beat = self.run["pids"]["beat"]
        os.kill(beat, signal.SIGSTOP)
        try:
            wait_until(lambda: self.sql(last)[0][1], seconds=30, what="no more ticks")
            before = self.sql(last)[0][0]
            yield
            assert self.sql(last)[0][0] == before
        finally:
            os.kill(beat, signal.SIGCONT)

    def _ask(self, method: str, path: str, *, key: str, **parts: Any) -> Any:
        headers = {"x-hyrelog-key": self.run[key]}
        answer = requests.request(method, self.run["web"] + path, headers=headers, timeout=30, **parts)
        assert answer.ok, answer.text
        return answer.json()

    def _is_ready(self) -> bool:
        if self._up and self._up.poll() is not None:
            pytest.fail(f"up ended: {self.log.read_text()[-2000:]}")
        try:
            return requests.get(self.run["web"] + "/readyz", timeout=5).ok
        except (OSError, ValueError):
            return False
