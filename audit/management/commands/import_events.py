"""`manage.py import_events FILE`: record the events of a file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from tqdm import tqdm

from audit.importing import FORMATS, DamagedFile, UnreadableLine, count_lines, import_events, recognised_draft
from audit.management.workspaces import chosen_workspace
from audit.models.company import ChainBusy, SystemWorkspaceReserved

STOPPED = (OSError, UnreadableLine, DamagedFile, ChainBusy, DatabaseError)
"""What ends an import before the end of its file."""


class Command(BaseCommand):
    help = "Record the events of a file: one JSON object a line, gzip or not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=sorted(FORMATS), help="Told from each line where left out.")
        parser.add_argument("--workspace", help="Id; may be left out where only one is not called `system`.")

    def handle(self, *_: Any, **options: Any) -> None:
        workspace, path = chosen_workspace(options["workspace"]), options["file"]
        read = FORMATS.get(options["format"], recognised_draft)
        recorded = 0

        def advance(count: int) -> None:
            nonlocal recorded
            recorded += count
            bar.update(count)

        try:
            with tqdm(total=count_lines(path), unit="event", desc=path.name) as bar:
                import_events(path, workspace=workspace, read=read, clock=timezone.now, advance=advance)
        except SystemWorkspaceReserved as error:
            raise CommandError(str(error)) from None
        except STOPPED as error:
            raise CommandError(f"{path}: {_reason(error)}. {_so_far(recorded)}") from error
        if not recorded:
            self.stdout.write(f"{path} holds no event; nothing was recorded.")
            return
        self.stdout.write(f"{recorded} events recorded in workspace {workspace.name} ({workspace.id}).")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error).strip().rstrip(".")


def _so_far(recorded: int) -> str:
    if not recorded:
        return "No event was recorded; mend the cause and start again."
    return f"The first {recorded} events were recorded; mend the cause and import the rest."
