"""The files in deploy/ as their own tools see them: systemd's checker, and a real PM2 that runs the real processes."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import psutil
import pytest
from django.conf import settings

from hyrelog.dev.ports import answers, first_free
from hyrelog.dev.state import CHECKOUT
from jobs.models import Tick
from tests.hyrelog.dev.workshop import is_gone, until

UNITS = CHECKOUT / "deploy" / "systemd"
ECOSYSTEM = CHECKOUT / "deploy" / "ecosystem.config.js"
ONLY_FOR_DEVELOPMENT = {"receiver"}


def processes() -> set[str]:
    lines = (CHECKOUT / "Procfile").read_text(encoding="utf-8").splitlines()
    names = {line.partition(":")[0] for line in lines if ":" in line}
    return {f"hyrelog-{name}" for name in names - ONLY_FOR_DEVELOPMENT}


# --- systemd ----------------------------------------------------------------------------------------------------


def test_every_process_of_the_procfile_has_a_unit() -> None:
    assert {unit.stem for unit in UNITS.glob("*.service")} == processes()


def test_systemd_ends_a_worker_by_its_main_process_alone() -> None:
    assert "\nKillMode=mixed\n" in (UNITS / "hyrelog-worker.service").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    units = Path(shutil.copytree(UNITS, tmp_path / "systemd"))
    for file in units.rglob("*"):
        if file.is_file():  # it looks for the programs too, so they are named where this machine has them
            text = file.read_text(encoding="utf-8")
            here = text.replace("/opt/hyrelog/.venv", sys.prefix).replace("/opt/hyrelog", str(CHECKOUT))
            file.write_text(here, encoding="utf-8")
    found = verify(units)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")

    with (units / "hyrelog-.service.d" / "common.conf").open("a") as shared:
        shared.write("Misspelt=yes\n")
    assert "Misspelt" in verify(units).stderr  # so what the services share was looked at as well


def verify(units: Path) -> subprocess.CompletedProcess[str]:
    names = sorted(str(unit) for unit in units.iterdir() if unit.is_file())
    command = [shutil.which("systemd-analyze") or "", "verify", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- PM2 --------------------------------------------------------------------------------------------------------


class PM2:
    """One of its own, that shares nothing with any other on this machine."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "pm2"
        database = settings.DATABASES["default"]
        ports = {"PORT": 18000, "FLOWER_PORT": 15555, "METRICS_PORT": 19091}
        self.ports = {name: first_free(wanted) for name, wanted in ports.items()}
        self._environment = os.environ | {
            "PM2_HOME": str(self.home),
            "HYRELOG_HOME": str(folder / "state"),
            "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database['NAME']}").geturl(),
            "REDIS_URL": urlsplit(os.environ["REDIS_URL"])._replace(path="/7").geturl(),
            "FLOWER_BASIC_AUTH": "operator:for-tests-only",
            **{name: str(port) for name, port in self.ports.items()},
        }
        npm = [shutil.which("npm") or "", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run([*npm, "--prefix", str(folder), "pm2@7"], cwd=folder, check=True)
        self._program = folder / "node_modules" / ".bin" / "pm2"

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._program), *arguments],
            env=self._environment,
            cwd=self.home.parent,  # it has to find the checkout by itself
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def processes(self) -> dict[str, Any]:
        return {each["name"]: each for each in json.loads(self("jlist").splitlines()[-1])}

    def pid(self, name: str) -> int:
        return int(self.processes()[name]["pid"])

    def restarted(self, name: str, *, instead_of: int) -> int:
        """The new pid; 0 until there is one."""
        now = self.processes()[name]
        running = now["pm2_env"]["status"] == "online" and now["pid"] != instead_of
        return int(now["pid"]) if running else 0

    def log(self, name: str) -> str:
        return "".join(file.read_text(errors="replace") for file in sorted((self.home / "logs").glob(f"{name}-*.log")))

    def web_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['PORT']}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def family(self) -> list[psutil.Process]:
        """The daemon, what it started, and their children, wherever they are by now."""
        return [each for each in psutil.process_iter() if self._is_ours(each)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("PM2_HOME") == str(self.home)
        except psutil.Error:
            return False


@pytest.fixture
def pm2(committed: None, tmp_path: Path) -> Iterator[PM2]:
    made = PM2(tmp_path)
    try:
        yield made
    finally:
        left = made.family()
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")
def test_pm2_runs_every_process_and_restarts_a_killed_one(pm2: PM2) -> None:
    pm2("start", str(ECOSYSTEM))
    assert set(pm2.processes()) == processes()
    until(pm2.web_answers, seconds=40)
    until(Tick.objects.exists, seconds=40)  # beat rang, and a worker took it down
    until(lambda: answers(pm2.ports["FLOWER_PORT"]), seconds=40)

    web, worker = pm2.pid("hyrelog-web"), pm2.pid("hyrelog-worker")
    orphans = [*children(web), *children(worker)]
    for pid in (web, worker):
        psutil.Process(pid).kill()
    until(lambda: pm2.restarted("hyrelog-web", instead_of=web))
    again = until(lambda: pm2.restarted("hyrelog-worker", instead_of=worker))
    until(lambda: all(is_gone(pid) for pid in orphans))
    until(pm2.web_answers, seconds=40)
    until(lambda: pm2.log("hyrelog-worker").count(" ready.") == 2, seconds=40)

    pool = children(again)
    pm2("stop", "hyrelog-worker")
    assert pool
    assert all(is_gone(pid) for pid in [again, *pool])
    assert "Warm shutdown" in pm2.log("hyrelog-worker")
    assert "exited prematurely" not in pm2.log("hyrelog-worker")

    pm2("delete", "all")
    pm2("kill")
    until(lambda: not pm2.family())
