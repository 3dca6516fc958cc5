"""`manage.py jobs`: retry and cancel many, list dead letters, pause and resume."""

import json
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.moments import read_moment
from jobs.bulk import cancel, cancellable, retry
from jobs.models import Job, Pause
from jobs.models.job import ACTIVE, ENDED, JobQuerySet, Status
from jobs.models.pause import Kind
from jobs.running import SURPRISE
from jobs.selecting import Selection

LISTED = 100
"""Dead letters that are listed, where --limit does not say."""


def moment(text: str) -> datetime:
    """A time as it is typed. Raises ArgumentTypeError."""
    try:
        return read_moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def limit(text: str) -> int:
    """Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


class Command(BaseCommand):
    help = "Retry or cancel many jobs, list the dead letters, pause and resume a queue or a type."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
        again = commands.add_parser("retry", help="Make failed and cancelled jobs due again.")
        _add_filters(again, statuses=ENDED, clock="ended")
        again.add_argument("--keep-attempts", action="store_true", help="One more attempt each, not a fresh round.")
        _add_safeguards(again)
        end = commands.add_parser("cancel", help="Cancel waiting jobs at once, and ask running ones to stop.")
        _add_filters(end, statuses=ACTIVE, clock="were created")
        _add_safeguards(end)
        dead = commands.add_parser("dead", help="List the dead letters, oldest first.")
        _add_filters(dead, statuses=(), clock="ended")
        dead.add_argument("--limit", type=limit, default=LISTED, metavar="N", help=f"{LISTED}, where it is left out.")
        dead.add_argument("--json", action="store_true", help="One JSON object on each line.")
        for name, what in (("pause", "Claim nothing from a queue, or of a type."), ("resume", "Go on with it.")):
            _add_names(commands.add_parser(name, help=what), reason=name == "pause")
        commands.add_parser("paused", help="List what is paused.")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['subcommand']}")(**options)
        except LookupError as error:  # a type, a queue or a company that there is not
            raise CommandError(str(error)) from None

    def _retry(self, *, keep_attempts: bool, **options: Any) -> None:
        jobs = _chosen("completed_at", **options).filter(status__in=ENDED)
        self._change(
            jobs, partial(retry, jobs, fresh=not keep_attempts), told="jobs are due again", dry_run=options["dry_run"]
        )

    def _cancel(self, **options: Any) -> None:
        jobs = cancellable(_chosen("created_at", **options))
        self._change(
            jobs, partial(cancel, jobs), told="jobs were cancelled or asked to stop", dry_run=options["dry_run"]
        )

    def _change(self, jobs: JobQuerySet, change: Callable[..., int], *, told: str, dry_run: bool) -> None:
        if dry_run:
            self.stdout.write(f"{jobs.count()} jobs match; nothing was changed.")
        else:
            self.stdout.write(f"{change(now=timezone.now())} {told}.")

    def _dead(self, **options: Any) -> None:
        jobs = _selection("completed_at", **options).jobs().dead().order_by("completed_at", "pk")
        for job in jobs[: options["limit"]]:
            self.stdout.write(_as_json(job) if options["json"] else _as_line(job))

    def _pause(self, *, reason: str, **options: Any) -> None:
        kind, name = _named(**options)
        new = Pause.objects.pause(kind, name, reason=reason)
        self.stdout.write(f"The {kind} {name} is paused{'' if new else ', as it was before'}; what runs goes on.")

    def _resume(self, **options: Any) -> None:
        kind, name = _named(**options)
        resumed = Pause.objects.resume(kind, name)
        self.stdout.write(f"The {kind} {name} {'goes on' if resumed else 'was not paused'}.")

    def _paused(self, **_: Any) -> None:
        for pause in Pause.objects.order_by("kind", "name"):
            reason = f": {pause.reason}" if pause.reason else ""
            self.stdout.write(f"{pause.kind} {pause.name}, since {pause.paused_at:%Y-%m-%d %H:%M:%S} UTC{reason}")


def _add_filters(parser: CommandParser, *, statuses: tuple[Status, ...], clock: str) -> None:
    parser.add_argument("--type", help="Of this type.")
    if statuses:
        parser.add_argument("--status", type=str.upper, choices=[str(status) for status in statuses])
    parser.add_argument("--error", metavar="TEXT", help="Whose error or traceback contains this, in whatever case.")
    parser.add_argument("--company", type=uuid.UUID, metavar="ID", help="Of this company.")
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help=f"That {clock} then or later: 2026-01-31T12:00:00Z."
    )
    parser.add_argument("--until", type=moment, metavar="TIME", help=f"That {clock} before.")
    parser.add_argument(
        "--id", nargs="+", type=uuid.UUID, default=(), metavar="ID", help="These, as far as they match."
    )


def _add_safeguards(parser: CommandParser) -> None:
    parser.add_argument("--all", action="store_true", help="Without any filter: all of them.")
    parser.add_argument("--dry-run", action="store_true", help="Say how many match, and change nothing.")


def _add_names(parser: CommandParser, *, reason: bool) -> None:
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--queue", metavar="NAME")
    named.add_argument("--type", metavar="NAME")
    if reason:
        parser.add_argument("--reason", default="", metavar="TEXT", help="Shown wherever the pause is.")


def _selection(clock: str, **options: Any) -> Selection:
    known = {name: options.get(name) for name in ("type", "status", "error", "company", "since", "until")}
    return Selection(clock=clock, ids=options["id"], **known)


def _chosen(clock: str, **options: Any) -> JobQuerySet:
    selection = _selection(clock, **options)
    if bool(selection) == options["all"]:
        raise CommandError("Name what to choose by, such as --type or --id, or name --all and nothing else.")
    return selection.jobs()


def _named(*, queue: str | None, type: str | None, **_: Any) -> tuple[Kind, str]:  # noqa: A002  the option's name
    return (Kind.QUEUE, queue) if queue is not None else (Kind.TYPE, str(type))


def _as_json(job: Job) -> str:
    shown = {**job.as_json(), "companyId": job.company_id, "payload": job.payload, "traceback": job.traceback or None}
    return json.dumps(shown, default=str, ensure_ascii=False)


def _as_line(job: Job) -> str:
    # Of a surprise the traceback's last line tells. What it quotes may be somebody else's, and no sequence of it should
    # reach a terminal.
    last = job.traceback.strip().rpartition("\n")[2] if job.error.startswith(SURPRISE) else job.error
    error = "".join(character if character.isprintable() else " " for character in last or job.error)
    return f"{job.completed_at:%Y-%m-%d %H:%M:%S} UTC  {job.id}  {job.type}  attempt {job.attempt}: {error}"
