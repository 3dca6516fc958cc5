"""`manage.py gdpr_export`: an export into a file, made in this process, without a job or a link."""

import os
import pwd
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from tqdm import tqdm

from audit import recording, signing
from audit.checkpoints import BrokenChain
from audit.management.workspaces import chosen_company
from audit.models.company import ChainBusy
from gdpr.archiving import sha256_of
from gdpr.checking import FaultyArchive, check
from gdpr.erasures.interfering import ErasedMeanwhile, is_erasing
from gdpr.erasures.interfering import check as check_erasures
from gdpr.making import Made, MissingRows, Order, make
from gdpr.management.subjects import chosen_subject, identifier
from gdpr.models.request import Scope
from gdpr.newfile import NewFile, new_file
from gdpr.progress import Progress
from gdpr.verify import printable

SHORTFALLS = (BrokenChain, MissingRows, FaultyArchive)
"""What no repetition mends: something is wrong with what is stored."""


@dataclass(frozen=True, slots=True)
class Written:
    """An archive that is as it must be: what it holds, and what its file is."""

    made: Made
    sha256: str
    size: int


class Command(BaseCommand):
    help = "Write an export of a company, or of one person, into a file, which gets its name once it is verified."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--company", required=True, metavar="ID", help="Whose events.")
        parser.add_argument(
            "--subject",
            action="append",
            default=[],
            type=identifier,
            metavar="KIND=IDENTIFIER",
            help="Only what names a person: email=ada@example.com or actorId=u1; repeat it for each identifier.",
        )
        parser.add_argument("--csv", action="store_true", help="The events once more as a table for spreadsheets.")
        parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="A file that does not exist.")

    def handle(self, *_: Any, **options: Any) -> None:
        path, company = options["output"], chosen_company(options["company"])
        subject = chosen_subject(options["subject"])
        order = Order(
            company=company,
            scope=Scope.SUBJECT if subject else Scope.COMPANY,
            subject=subject,
            csv=options["csv"],
            requested_by=f"operator {_account()}, by manage.py gdpr_export",
            requested_at=timezone.now(),
        )
        if company.closed_at:
            self.stdout.write(f"The company was closed on {company.closed_at:%Y-%m-%d}; what it left is exported.")
        try:
            with _ended_like_interrupted(), new_file(path) as new:
                written = _write(order, new)
        except SHORTFALLS as error:
            raise CommandError(f"{error} See “An export failed” in docs/runbooks.md.") from error
        except ErasedMeanwhile as error:
            raise CommandError(f"{path} was not written: {error}") from error
        except FileExistsError:
            raise CommandError(f"{path} exists already, and was left as it is; name another file.") from None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error
        except (ChainBusy, DatabaseError) as error:
            reason = str(error).strip().partition("\n")[0]  # Postgres quotes the statement below
            raise CommandError(f"{path} was not written: {reason}") from error
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted; {path} was not written.") from None
        self._tell(path, written)

    def _tell(self, path: Path, written: Written) -> None:
        name = printable(str(path))
        key_id, key = next(iter(signing.public_keys().items()))
        self.stdout.write(f"{name}: {written.size:,} bytes, verified")
        self.stdout.write(f"sha256 {written.sha256}")
        self.stdout.write(f"key id {key_id}")
        self.stdout.write("rows:")
        for table, rows in written.made.counts.items():
            self.stdout.write(f"{rows:>14,} {table}")
        self.stdout.write(
            "To verify it elsewhere, take the key from GET /v1/signing-keys, and compare it with this one:"
        )
        self.stdout.write(f"  python -m hyrelog.verify {shlex.quote(name)} --key {key}")


def _write(order: Order, new: NewFile) -> Written:
    if is_erasing(order.company):
        raise ErasedMeanwhile
    _record(order, "gdpr.export.requested")
    made = _make(order, new)
    check_erasures(order.company, since=made.reached)
    new.finish()
    connection.close()  # verifying may take so long that something on the way would cut it off
    sha256, size = _check(new, made)
    _put_on_record(order, new, made, bytes=size, sha256=sha256)
    return Written(made, sha256, size)


def _put_on_record(order: Order, new: NewFile, made: Made, **facts: object) -> None:
    """Name the file, however long the company's system chain is busy: to make it again would take longer.

    In one transaction with the record, so that no archive is left that is not on it.
    """
    while True:
        with suppress(ChainBusy), transaction.atomic():
            _record(order, "gdpr.export.written", **facts)
            check_erasures(order.company, since=made.reached)  # with the chain's head locked by the record
            new.publish()
            return


@transaction.atomic
def _record(order: Order, action: str, **facts: object) -> None:
    # Who the person is stays out of it: webhooks read these events too.
    payload = {"jobId": None, "scope": str(order.scope), "requestedBy": order.requested_by, **facts}
    recording.record_system(company=order.company, action=action, payload=payload, now=timezone.now())


def _make(order: Order, new: NewFile) -> Made:
    with tqdm(unit=" rows", unit_scale=True, desc="counting") as bar:

        def advance(progress: Progress) -> None:
            bar.total = progress.expected_rows
            bar.set_description_str(progress.step, refresh=False)
            bar.set_postfix_str(f"{_size(progress.bytes)} of {_size(progress.expected_bytes)}", refresh=False)
            bar.update(progress.rows - bar.n)

        made = make(order, new.file, clock=timezone.now, advance=advance)
        bar.total = bar.n  # what was expected was an estimate
        bar.set_postfix_str(_size(made.size), refresh=False)
        bar.set_description_str("reading", refresh=False)
    return made


def _size(count: int) -> str:
    return str(tqdm.format_sizeof(count, "B"))


def _check(new: NewFile, made: Made) -> tuple[str, int]:
    """The archive's SHA-256 and size, once it was read anew and verified. Raises FaultyArchive."""
    with new.hidden.open("rb") as file:
        with _bar_of_bytes("hashing", total=new.hidden.stat().st_size) as advance:
            facts = sha256_of(file, advance=advance)
        with _bar_of_bytes("verifying", total=made.size) as advance:
            check(file, advance=advance)
    return facts


@contextmanager
def _bar_of_bytes(step: str, *, total: int) -> Iterator[Callable[[int], None]]:
    with tqdm(total=total, unit="B", unit_scale=True, desc=step) as bar:

        def advance(count: int) -> None:
            bar.update(min(count, total - bar.n))  # beyond its total, a bar is none

        yield advance


def _account() -> str:
    """The account that runs this, by what the system knows and not by what the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, say
        return str(os.getuid())


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Have a closed terminal and a request to end leave as little behind as Ctrl+C does; what was ignored stays so."""
    numbers = [n for n in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
