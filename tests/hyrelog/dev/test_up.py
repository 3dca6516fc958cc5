import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests

from hyrelog.dev.state import CHECKOUT
from hyrelog.env import parse_env_file
from tests.hyrelog.dev.workshop import is_gone, until

OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "HYRELOG_", "WEBHOOK_", "LOG_FORMAT", "PORT", "FLOWER_")


class Up:
    """`manage.py up` in a state folder, as a fresh shell would start it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = home / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        fresh = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        command = [sys.executable, str(CHECKOUT / "manage.py"), "up", *arguments]
        with self.output.open("ab") as sink:
            return subprocess.Popen(
                command, env=fresh | {"HYRELOG_HOME": str(self.home)} | environment, cwd="/", stdout=sink, stderr=sink
            )

    def started(self, *arguments: str, **environment: str) -> dict[str, Any]:
        (self.home / "run.json").unlink(missing_ok=True)
        self.process = process = self.start(*arguments, **environment)
        until(lambda: (self.home / "run.json").exists() or process.poll() is not None, seconds=60)
        assert process.poll() is None, self.output.read_text()
        return self.run()

    def run(self) -> dict[str, Any]:
        run: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return run

    def stop(self) -> None:
        assert self.process
        family = psutil.Process(self.process.pid).children(recursive=True)
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=20) == 0
        assert time.monotonic() - started < 10
        assert [member for member in family if not is_gone(member.pid)] == []


@pytest.fixture
def up(home: Path) -> Iterator[Up]:
    up = Up(home)
    yield up
    if up.process and up.process.poll() is None:
        family = psutil.Process(up.process.pid).children(recursive=True)
        up.process.kill()
        up.process.wait()
        until(lambda: all(is_gone(member.pid) for member in family))


def test_it_brings_everything_up_and_down(up: Up) -> None:
    run = up.started()

    assert requests.get(f"{run['web']}/healthz", timeout=5).status_code == 200
    assert requests.get(run["admin"]["url"], timeout=5).status_code == 200
    assert requests.get(run["flower"]["url"], timeout=5).status_code == 401
    entry = (run["flower"]["user"], run["flower"]["password"])
    assert requests.get(run["flower"]["url"], auth=entry, timeout=5).status_code == 200
    assert requests.get(f"{run['receiver']}/deliveries.json", timeout=5).json()["received"] == 0
    assert stat.S_IMODE((up.home / "run.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((up.home / "env").stat().st_mode) == 0o600
    assert set(run["pids"]) == {"up", "web", "worker", "beat", "flower", "receiver", "postgres", "redis"}

    second = up.start()
    assert second.wait(timeout=20) == 1
    assert "Another `up` is running" in up.output.read_text()

    os.kill(run["pids"]["receiver"], signal.SIGKILL)
    until(lambda: up.run()["pids"].get("receiver") not in {None, run["pids"]["receiver"]})
    assert "receiver died (killed by SIGKILL)" in up.output.read_text()
    up.stop()


def test_the_next_start_shows_the_same_and_without_the_receiver_no_event_goes_to_whoever_has_its_port(up: Up) -> None:
    def webhook(run: dict[str, Any]) -> tuple[Any, ...] | None:
        with psycopg.connect(run["database_url"]) as connection:
            return connection.execute("SELECT disabled_reason, url FROM webhooks_webhook").fetchone()

    first = up.started("--only", "receiver")
    assert (first["web"], first["flower"]["url"]) == (None, None)
    family = psutil.Process(first["pids"]["up"]).children(recursive=True)
    assert up.process
    up.process.kill()
    up.process.wait()
    second = up.started("--only", "receiver")

    until(lambda: all(is_gone(member.pid) for member in family if member.pid not in second["pids"].values()))
    for name in ("company_id", "workspace_id", "company_key", "workspace_key", "webhook", "database_url", "redis_url"):
        assert second[name]
        assert second[name] == first[name]
    assert webhook(second) == ("", second["receiver"] + "/")
    up.stop()
    without = up.started("--only", "web", RECEIVER_PORT="8001")
    assert without["receiver"] is None
    assert webhook(without) == ("the demo receiver was not started", second["receiver"] + "/")
    up.stop()
    again = up.started("--only", "receiver")
    assert webhook(again) == ("", again["receiver"] + "/")
    up.stop()


def test_servers_of_the_users_own_are_used_and_no_demo_makes_none(up: Up) -> None:
    own = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    run = up.started("--no-demo", "--only", "receiver", **own)

    assert {"DATABASE_URL": run["database_url"], "REDIS_URL": run["redis_url"]} == own
    assert (run["company_key"], run["webhook"]) == (None, {"id": None, "secret": None})
    assert set(run["pids"]) == {"up", "receiver"}
    assert "DATABASE_URL" not in parse_env_file(up.home / "env")
    up.stop()


def test_a_database_that_cannot_be_used_is_named(up: Up) -> None:
    process = up.start(DATABASE_URL="postgres://nobody@127.0.0.1:1/none", REDIS_URL=os.environ["REDIS_URL"])
    assert process.wait(timeout=30) == 1
    assert "The database of DATABASE_URL cannot be used" in up.output.read_text()
    assert "Traceback" not in up.output.read_text()


def test_a_redis_that_cannot_be_used_is_named(up: Up) -> None:
    process = up.start(DATABASE_URL=os.environ["DATABASE_URL"], REDIS_URL="redis://127.0.0.1:1/0")
    assert process.wait(timeout=60) == 1
    assert "The Redis of REDIS_URL cannot be used" in up.output.read_text()
    assert "Traceback" not in up.output.read_text()


def test_a_name_that_is_not_in_the_procfile_is_refused(up: Up) -> None:
    assert up.start("--only", "web,nonsense").wait(timeout=20) == 2
    assert "'nonsense' is not in the Procfile; choose from web,worker,beat,flower,receiver" in up.output.read_text()


def test_up_restarts_what_runs_the_code(up: Up) -> None:
    run = up.started("--watch", "--only", "web,beat,receiver")
    before = run["pids"]
    os.utime(CHECKOUT / "hyrelog" / "tasks.py")
    until(lambda: {up.run()["pids"].get(name) for name in ("web", "beat")}.isdisjoint([*before.values(), None]))
    assert "hyrelog/tasks.py changed: restarting web, beat." in up.output.read_text()
    assert up.run()["pids"]["receiver"] == before["receiver"]
    up.stop()
