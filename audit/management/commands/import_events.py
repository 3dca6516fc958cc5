"""`manage.py import_events FILE`: record the events of a file."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from audit.importing import FORMATS, UnreadableLine, count_lines, import_events, recognised_draft
from audit.management.workspaces import chosen_workspace


class Command(BaseCommand):
    help = "Record the events of a file: one JSON object a line, gzip or not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", choices=sorted(FORMATS), help="Told from each line where left out.")
        parser.add_argument("--workspace", help="Id; may be left out where only one is not called `system`.")

    def handle(self, *_: Any, **options: Any) -> None:
        workspace, path = chosen_workspace(options["workspace"]), options["file"]
        try:
            with tqdm(total=count_lines(path), unit="event", desc=path.name) as bar:
                total = import_events(
                    path,
                    workspace=workspace,
                    read=FORMATS.get(options["format"], recognised_draft),
                    clock=timezone.now,
                    advance=bar.update,
                )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror or error}.") from None
        except UnreadableLine as error:
            recorded = bar.n
            raise CommandError(
                f"{path}, {error}. The first {recorded} events were recorded; mend the file and import the rest."
            ) from None
        self.stdout.write(f"{total} events recorded in workspace {workspace.name} ({workspace.id}).")
