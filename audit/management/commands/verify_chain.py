"""`manage.py verify_chain`: walk the chains, name each row that does not fit, and say what was erased."""

import sys
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Q
from django.db.models.functions import Coalesce
from tqdm import tqdm

from audit.erasing import PARTS, Part
from audit.management.workspaces import chosen_workspace
from audit.models import Company, Workspace
from audit.models.company import SYSTEM_WORKSPACE
from audit.verification import verify


class Command(BaseCommand):
    help = "Verify the hash chains, of all workspaces or of one; exits with 1 if a row does not fit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--workspace",
            help="Id; all workspaces where it is left out. The company's `system` workspace, which records what was "
            "erased from it, is verified with it.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        workspaces, companies = Workspace.objects.select_related("company"), Company.objects.all()
        if options["workspace"]:
            chosen = chosen_workspace(options["workspace"])
            recording = Q(company=chosen.company_id, name=SYSTEM_WORKSPACE)
            workspaces = workspaces.filter(Q(pk=chosen.pk) | recording)
            companies = companies.filter(pk=chosen.company_id)
        faults, events, chains = 0, 0, 0
        erased = _Erased()
        for company in companies.exclude(workspaces__name=SYSTEM_WORKSPACE).order_by("pk"):
            faults += 1
            self.stderr.write(f"FAULT company {company.pk}: missing: it has no workspace `{SYSTEM_WORKSPACE}`")
        for workspace in workspaces.annotate(reach=Coalesce("chain_head__seq", 0)).order_by("pk"):
            with tqdm(total=workspace.reach, unit="event", desc=f"{workspace.company}/{workspace}") as bar:
                for fault in verify(workspace, advance=bar.update, erased=erased.count):
                    faults += 1
                    bar.write(f"FAULT {fault}", file=sys.stderr)
                events, chains = events + int(bar.n), chains + 1
        for line in erased.lines():
            self.stdout.write(line)
        self.stdout.write(f"{events} events in {chains} chains: {f'faults: {faults}' if faults else 'intact'}.")
        if faults:
            sys.exit(1)


class _Erased:
    """How many events had a part erased, by request."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[Part]] = {}

    def count(self, erasure_id: str, part: Part) -> None:
        self._counts.setdefault(erasure_id, Counter())[part] += 1

    def lines(self) -> list[str]:
        """One for each request, the oldest first: their ids are ordered by time."""
        return [
            f"erased by request {erasure_id}: {_told(self._counts[erasure_id])}" for erasure_id in sorted(self._counts)
        ]


def _told(counts: Counter[Part]) -> str:
    """Such as: actor of 12 events, content of 30."""
    (first, count), *others = [(part, counts[part]) for part in PARTS if counts[part]]
    rest = [f", {part} of {number}" for part, number in others]
    return f"{first} of {count} event{'' if count == 1 else 's'}{''.join(rest)}"
