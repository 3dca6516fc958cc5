"""`manage.py verify_chain`: walk the chains and name each row that does not fit."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from tqdm import tqdm

from audit.management.workspaces import chosen_workspace
from audit.models import ChainHead
from audit.verification import verify


class Command(BaseCommand):
    help = "Verify the hash chains, of all workspaces or of one; exits with 1 if a row does not fit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", help="Id; all workspaces where it is left out.")

    def handle(self, *_: Any, **options: Any) -> None:
        heads = ChainHead.objects.select_related("workspace__company").order_by("workspace_id")
        if options["workspace"]:
            heads = heads.filter(workspace=chosen_workspace(options["workspace"]))
        faults, events, chains = 0, 0, 0
        for head in heads:
            with tqdm(total=head.seq, unit="event", desc=f"{head.workspace.company}/{head.workspace}") as bar:
                for fault in verify(head.workspace, advance=bar.update):
                    faults += 1
                    bar.write(f"FAULT {fault}", file=sys.stderr)
                events, chains = events + int(bar.n), chains + 1
        self.stdout.write(f"{events} events in {chains} chains: {f'faults: {faults}' if faults else 'intact'}.")
        if faults:
            sys.exit(1)
