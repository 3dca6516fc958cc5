"""`manage.py stats`: how many jobs there are, since when the oldest one waits, and what is paused."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from audit.chain import timestamp
from audit.management.workspaces import chosen_company
from jobs.models import Job, Pause
from jobs.statistics import Statistics, Tally, statistics_of


class Command(BaseCommand):
    help = "Count the jobs of all companies, or of one: by status, queue and type; with what waits and what is paused."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--company", metavar="ID", help="Jobs of this company; of all where it is left out.")
        parser.add_argument("--json", action="store_true", help="One JSON object, for programs.")

    def handle(self, *_: Any, **options: Any) -> None:
        now = timezone.now()
        jobs = Job.objects.of(chosen_company(options["company"])) if options["company"] else Job.objects.all()
        statistics = statistics_of(jobs, by=("queue", "type"), now=now)
        pauses = list(Pause.objects.order_by("kind", "name"))
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(statistics, pauses, now=now)))
            return
        for line in _table(statistics, now=now):
            self.stdout.write(line)
        self.stdout.write("")
        for line in _remarks(statistics, pauses, now=now):
            self.stdout.write(line)


def _as_json(statistics: Statistics, pauses: list[Pause], *, now: datetime) -> dict[str, Any]:
    since = statistics.total.oldest_waiting
    return {
        **statistics.as_json(),
        "oldestWaitingSeconds": since and (now - since).total_seconds(),
        "deadLetters": _dead(statistics),
        "paused": [pause.as_json() for pause in pauses],
    }


def _table(statistics: Statistics, *, now: datetime) -> Iterator[str]:
    """All jobs, then each queue and each type, with the age of the oldest one that waits."""
    named = [("all jobs", statistics.total)]
    for part, tallies in statistics.parts.items():
        named += [(f"{part} {value}", tallies[value]) for value in sorted(tallies)]
    header = ["", *named[0][1].as_json(), "oldest waits for"]
    rows = [[name, *(f"{count:,}" for count in tally.as_json().values()), _age(tally, now)] for name, tally in named]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in [header, *rows]:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join([row[0].ljust(len(first)), *others])


def _remarks(statistics: Statistics, pauses: list[Pause], *, now: datetime) -> Iterator[str]:
    since = statistics.total.oldest_waiting
    yield f"Oldest waiting: due since {timestamp(since)}, for {_length(now - since)}." if since else "Nothing is due."
    dead = ", ".join(f"{count:,} {job_type}" for job_type, count in _dead(statistics).items())
    yield f"Dead letters: {dead or 'none'}."
    if not pauses:
        yield "Paused: nothing."
    for pause in pauses:
        yield f"Paused: {pause} since {timestamp(pause.paused_at)}{f' ({pause.reason})' if pause.reason else ''}."


def _dead(statistics: Statistics) -> dict[str, int]:
    """Dead letters by type."""
    failed = {name: tally.counts["failed"] for name, tally in statistics.parts["type"].items()}
    return {name: count for name, count in sorted(failed.items()) if count}


def _age(tally: Tally, now: datetime) -> str:
    return _length(now - tally.oldest_waiting) if tally.oldest_waiting else "-"


def _length(span: timedelta) -> str:
    return str(timedelta(seconds=int(span.total_seconds())))
