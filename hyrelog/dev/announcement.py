"""What `up` tells once everything answers: the file run.json, and the banner."""

import json
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hyrelog.dev import env_file
from hyrelog.dev.console import Console
from hyrelog.dev.ports import LOOPBACK, answers

PORT_OF = {"web": "PORT", "flower": "FLOWER_PORT", "receiver": "RECEIVER_PORT"}
LONGEST_WAIT = 30.0
"""Seconds after which both come anyway: a process that cannot start must not hide where the others are."""


def describe_run(values: Mapping[str, str], *, running: Collection[str], demo: bool) -> dict[str, Any]:
    """The contents of run.json but for the pids; what does not run, or was not made, is null."""

    def url(process: str, port: str, path: str = "") -> str | None:
        return f"http://{LOOPBACK}:{values[port]}{path}" if process in running else None

    flower_user, _, flower_password = values["FLOWER_BASIC_AUTH"].partition(":")
    tenant = values if demo else {}
    return {
        "web": url("web", "PORT"),
        "admin": {"url": url("web", "PORT", "/admin/"), "user": "admin", "password": values["DEMO_ADMIN_PASSWORD"]},
        "flower": {"url": url("flower", "FLOWER_PORT"), "user": flower_user, "password": flower_password},
        "metrics": url("web", "METRICS_PORT", "/metrics"),
        "receiver": url("receiver", "RECEIVER_PORT"),
        "database_url": values["DATABASE_URL"],
        "redis_url": values["REDIS_URL"],
        "company_id": tenant.get("DEMO_COMPANY_ID"),
        "workspace_id": tenant.get("DEMO_WORKSPACE_ID"),
        "company_key": tenant.get("DEMO_COMPANY_KEY"),
        "workspace_key": tenant.get("DEMO_WORKSPACE_KEY"),
        "webhook": {"id": tenant.get("DEMO_WEBHOOK_ID"), "secret": tenant.get("DEMO_WEBHOOK_SECRET")},
    }


class Announcement:
    """Made once; from then on run.json follows the pids."""

    def __init__(self, file: Path, run: Mapping[str, Any], *, console: Console, ports: Collection[int]) -> None:
        self._file = file
        self._run = run
        self._console = console
        self._silent_ports = set(ports)
        self._deadline = time.monotonic() + LONGEST_WAIT
        self._made = False
        self._pids: Mapping[str, int] = {}

    def update(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        if self._made:
            self._write()

    def make_when_ready(self) -> None:
        if self._made:
            return
        self._silent_ports = {port for port in self._silent_ports if not answers(port)}
        if not self._silent_ports or time.monotonic() > self._deadline:
            self._made = True
            self._write()
            self._console.plain(banner(self._run, self._file))

    def _write(self) -> None:
        pids = {"up": os.getpid(), **self._pids}
        env_file.replace(self._file, json.dumps({**self._run, "pids": pids}, indent=2) + "\n")


def banner(run: Mapping[str, Any], file: Path) -> str:
    """Where everything is, for a human."""
    rows = {
        "Web": run["web"] and f"{run['web']}/docs",
        "Admin": run["admin"]["url"] and "{url}  {user} / {password}".format(**run["admin"]),
        "Flower": run["flower"]["url"] and "{url}  {user} / {password}".format(**run["flower"]),
        "Metrics": run["metrics"],
        "Receiver": run["receiver"],
        "Postgres": run["database_url"],
        "Redis": run["redis_url"],
        "Company key": run["company_key"],
        "Workspace key": run["workspace_key"],
        "Webhook secret": run["webhook"]["secret"],
    }
    lines = [f"  {name:<15} {value}" for name, value in rows.items() if value]
    heading = (
        "HyreLog is up; Ctrl+C stops it. Webhooks may reach this machine and use plain http, for development only."
    )
    return "\n".join(["", heading, "", *lines, "", f"  All of it, with ids and pids, is in {file}", ""])
