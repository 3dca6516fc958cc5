"""Gathering what is known of erasures: the ledgers in the storage of archives or in files, and this database.

What cannot be read is told as a fault, and keeps nothing else from being repeated.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from audit.drafts import SYSTEM_CATEGORY
from audit.erasing import ERASED, records_of
from audit.models import AuditEvent, Company
from gdpr import storage
from gdpr.erasures.known import Gathered
from gdpr.erasures.ledger import RECORDS, ROWS, FaultyLedger
from gdpr.models import ErasedRow, Erasure


def from_storage(gathered: Gathered, *, keys: Mapping[str, str]) -> Iterator[str]:
    """Take in the ledgers in EXPORT_STORAGE, and tell what is wrong with any. Raises OSError where it fails."""
    for name in storage.ledgers():
        with storage.open_file(name) as file:
            try:
                gathered.take_ledger(file, name=name, keys=keys)
            except FaultyLedger as fault:
                yield str(fault)


def from_files(gathered: Gathered, paths: Iterable[Path], *, keys: Mapping[str, str]) -> Iterator[str]:
    """Take in ledgers that somebody names, and tell what is wrong with any."""
    for path in paths:
        try:
            with path.open("rb") as file:
                gathered.take_ledger(file, name=str(path), keys=keys)
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror or error}."
        except FaultyLedger as fault:
            yield str(fault)


def from_database(gathered: Gathered) -> Iterator[str]:
    """Take in the records of all companies, the rows and the erasures, and tell which records have not the form."""
    forms = AuditEvent.objects.filter(category=SYSTEM_CATEGORY, action=ERASED)
    for company in Company.objects.filter(pk__in=forms.values("company")).order_by("pk"):
        yield from _records(gathered, company)
    rows, after = ErasedRow.objects.order_by("id"), 0
    while page := list(rows.filter(id__gt=after)[:ROWS]):
        gathered.take_rows(page)
        after = page[-1].id
    for erasure in Erasure.objects.only("company_id", "pseudonym", "completed_at").iterator():
        gathered.take_erasure(erasure)


def _records(gathered: Gathered, company: Company) -> Iterator[str]:
    records, after = records_of(company), 0
    while page := list(records.filter(seq__gt=after)[:RECORDS]):
        for record in page:
            try:
                gathered.take_record(record)
            except ValueError as error:
                yield str(error)
        after = page[-1].seq
