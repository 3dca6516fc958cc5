"""`manage.py replay_erasures`: after a backup was restored, erase once more whom it brought back."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit import signing
from gdpr import verify
from gdpr.erasures.gathering import from_database, from_files, from_storage
from gdpr.erasures.known import Gathered, gathering
from gdpr.erasures.repeated import THEIR_JOBS, Repeated
from gdpr.erasures.replaying import Replay
from gdpr.models import Erasure
from gdpr.verify import printable
from jobs import lanes


def public_key(text: str) -> tuple[str, str]:
    """A public key in hex as it is typed, behind its id. Raises ArgumentTypeError."""
    try:
        key = verify.public_key(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return verify.key_id(key), key.hex()


class Command(BaseCommand):
    help = "Repeat erasures after a backup was restored, from their ledgers and from the records in the database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "ledgers", nargs="*", type=Path, metavar="LEDGER", help="Files; those in EXPORT_STORAGE where left out."
        )
        parser.add_argument("--dry-run", action="store_true", help="Tell what would be repeated, and change nothing.")
        parser.add_argument(
            "--every-table",
            action="store_true",
            help="Also rows other than events of erasures that the database knows as completed: tables were put back.",
        )
        parser.add_argument(
            "--key",
            action="append",
            default=[],
            type=public_key,
            metavar="HEX",
            help="A public key by which ledgers may be signed, too, such as one that was rotated out.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        self._faults = 0
        dry_run = options["dry_run"]
        with gathering() as gathered:
            self._gather(gathered, options["ledgers"], keys=signing.public_keys() | dict(options["key"]))
            if not dry_run:
                while lanes.rescue(now=timezone.now()):  # what processes held that ended with the old database
                    pass
            replay = Replay(gathered, timezone.now, dry_run=dry_run, every_table=options["every_table"])
            repeated = [self._tell(one, dry_run=dry_run) for one in replay.run()]
        self._conclude(repeated, dry_run=dry_run)

    def _gather(self, gathered: Gathered, paths: list[Path], *, keys: dict[str, str]) -> None:
        try:
            self._fault(from_files(gathered, paths, keys=keys) if paths else from_storage(gathered, keys=keys))
        except OSError as error:
            raise CommandError(
                f"The ledgers in EXPORT_STORAGE cannot be read: {error} Mend that, or name them as files."
            ) from error
        self._fault(from_database(gathered))

    def _fault(self, faults: Iterable[str]) -> None:
        for fault in faults:
            self._faults += 1
            self.stderr.write(f"FAULT {printable(fault)}")

    def _tell(self, one: Repeated, *, dry_run: bool) -> Repeated:
        would = "to be repeated" if dry_run else "repeated"
        figures = [
            f"{one.events} events {would}",
            f"{one.as_they_must} as they must be",
            one.absent and f"{one.absent} not in this database",
            one.whole and f"{one.whole} of which all values were replaced, as they are not those that were sealed",
            one.rows and f"{one.rows} other rows {would}",
            one.rows_absent and f"{one.rows_absent} other rows not in this database",
            one.archives and f"{one.archives} archives {'to be deleted' if dry_run else 'deleted'}",
            one.busy and f"{one.busy} LEFT AS THEY ARE, since somebody is at work on them",
        ]
        self.stdout.write(f"erasure {one.known.erasure_id} of company {one.known.company_id}")
        self.stdout.write(f"  {', '.join(str(figure) for figure in figures if figure)}")
        self.stdout.write(f"  {_standing(one, dry_run=dry_run)}")
        return one

    def _conclude(self, repeated: list[Repeated], *, dry_run: bool) -> None:
        left = {one.archives_left for one in repeated if one.archives_left}
        changed, busy = sum(one.changed for one in repeated), sum(one.busy for one in repeated)
        if dry_run:
            self.stdout.write(f"{len(repeated)} erasures, {changed} to be repeated; nothing was changed.")
        else:
            self.stdout.write(f"{len(repeated)} erasures, {changed} repeated. Now run manage.py verify_chain.")
        if busy:
            self.stderr.write("Stop the workers, or wait until they are done with the rows above, and run this again.")
        for words in sorted(left):
            self.stderr.write(f"{printable(words)} All else was done. Mend the storage, and run this again.")
        if self._faults:
            self.stderr.write(f"faults: {self._faults}. What they would have had repeated was not.")
        if busy or left or self._faults:
            sys.exit(1)


def _standing(one: Repeated, *, dry_run: bool) -> str:
    """How the database knows the erasure, now."""
    if one.completed:
        before = f"was {one.status} here" if one.status else "was not known here"
        return f"{before}, and {'is to be' if dry_run else 'is'} completed by its ledger, the identifiers forgotten"
    if one.status in THEIR_JOBS:
        how = "retry its job" if one.status == Erasure.Status.FAILED else "its own job goes on"
        return f"is {one.status} here: {how}, and completes it"
    if one.status is None:
        return "is known here by its records only; there is no ledger of it"
    return f"is {one.status} here"
