"""`manage.py worker_health`: how the workers are, for people and for monitors."""

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error
from django.utils import timezone

from jobs import health
from jobs.health import Process, Report


class Command(BaseCommand):
    help = "Tell how the workers are; exits with 1 if something is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="One JSON object instead of text.")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            report = health.report(now=timezone.now())
        except Error as error:
            problem = f"Postgres could not be asked: {str(error).strip()}"
            self.stderr.write(problem)
            if options["json"]:
                self.stdout.write(json.dumps({"healthy": False, "problems": [problem]}))
            sys.exit(1)
        self.stdout.write(json.dumps(report.as_json()) if options["json"] else "\n".join(_lines(report)))
        if report.problems:
            sys.exit(1)


def _lines(report: Report) -> Iterator[str]:
    for kind, processes in groupby(sorted(report.processes, key=_kind), key=_kind):
        yield "{}: queues {}; types {}".format(*kind)
        for process in processes:
            yield from _process(process)
    if report.orphans:
        yield f"orphans: {report.orphans} jobs of processes that are gone; the next poll takes them back"
    yield f"beat: {'no tick yet' if report.tick_age is None else f'last tick {spoken(report.tick_age)} ago'}"
    for queue, age in report.due_for.items():
        yield f"queue {queue}: {'nothing is due' if age is None else f'longest due for {spoken(age)}'}"
    for each in report.paused:
        yield f"paused: {each.kind} {each.name} since {each.paused_at:%Y-%m-%d %H:%M:%S} UTC {each.reason}".rstrip()
    yield from (f"PROBLEM: {problem}" for problem in report.problems)
    yield "unhealthy" if report.problems else "healthy"


def _kind(process: Process) -> tuple[str, str, str]:
    """What the processes of one worker have in common."""
    return process.host, ",".join(process.queues), ",".join(process.types) or "all"


def _process(process: Process) -> Iterator[str]:
    if process.alive:
        state = f"up {spoken(process.uptime)}, lease left {spoken(process.lease_left)}"
    else:
        state = f"dead for {spoken(-process.lease_left)}"
    counts = f"active {len(process.active)}, processed {process.processed}, failed {process.failed}"
    yield f"  pid {process.pid}: {state}; jobs: {counts}"
    for running in process.active:
        yield f"    {running.type} {running.job} for {spoken(running.time)}"


def spoken(time: timedelta) -> str:
    """A duration by its two largest units."""
    seconds = max(0, int(time.total_seconds()))
    units = [("d", seconds // 86_400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60)]
    first = next((place for place, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count or unit == units[first][0])
