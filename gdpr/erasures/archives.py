"""Archives that may hold an erased person: deleted with their files, before the erasure is completed."""

import logging
from datetime import UTC, datetime

from django.db import transaction

from audit.models import Company
from gdpr import storage
from gdpr.models import Erasure, ExportArchive
from gdpr.models.archive import ExportArchiveQuerySet
from gdpr.requesting import EXPORT
from jobs.models import Job

logger = logging.getLogger(__name__)

TABLE = ExportArchive._meta.db_table  # noqa: SLF001  Django's public way to a table's name
"""By which an erasure counts archives."""
ALWAYS = datetime.max.replace(tzinfo=UTC)
MOST_SHOWN = 10
"""Files that are named where they are left."""


class ArchivesRemain(storage.StorageUnavailable):
    """Archives of the company that is erased from cannot be deleted now."""

    def __init__(self, *, refused: set[str], missing: set[str]) -> None:
        said = []
        if refused:
            said.append(
                "Files in EXPORT_STORAGE that may hold an erased person cannot be deleted now:"
                f" {_some(refused)}. The log says why."
            )
        if missing:
            said.append(
                "Archives that may hold an erased person are not in EXPORT_STORAGE on this machine:"
                f" {_some(missing)}. If they lie on another machine, share the folder; if they are gone for good, put"
                " an empty file of each name there: the next attempt ends the archives with them."
            )
        super().__init__(" ".join(said))


def on_record(company: Company) -> ExportArchiveQuerySet:
    """The archives that an erasure in the company ends: all, whatever their scope.

    One that was asked for by Bob's identifiers may hold events that name Ada.
    """
    return ExportArchive.objects.ready().filter(company=company)


def unfinished(company: Company) -> bool:
    """Whether archives that have ended still wait for their files to be deleted."""
    return ExportArchive.objects.filter(company=company).exclude(purging="").exists()


def purge(erasure: Erasure, *, now: datetime, restored: bool = False) -> int:
    """Delete all archives of the company that are on record, with their files; says how many ended by it.

    Also the files of those that had ended before, and what exports that do not run left behind. Those that end are
    added to the erasure's counts, each in the transaction that ends it. Outside of any transaction; done again, it does
    what was left undone. An export that runs is not met: it is not put on record as long as the erasure is at work
    (gdpr.erasures.interfering).

    With `restored` the erasure is repeated, since a backup of before was restored: its counts stay, and an archive
    whose file is missing ends. The erasure had deleted it, or retention; should it lie on another machine after all,
    housekeeping deletes it there, as the file of no archive.

    Raises ArchivesRemain where some are left, once all others are gone, OSError, audit.models.company.ChainBusy.
    """
    archives = ExportArchive.objects.filter(company=erasure.company)
    mine = _on_record(erasure)
    within = None if restored else lambda: _count(erasure)
    reason = f"erasure {erasure.pk}"
    ended = sum(archive.expire(now=now, reason=reason, missing_is_gone=restored, within=within) for archive in mine)
    missing = set(archives.ready().filter(pk__in=[archive.pk for archive in mine]).values_list("file", flat=True))
    refused = {archive.file for archive in archives.exclude(purging="") if not archive.purge(now=now)}
    refused.update(name for name in _strays(erasure) if not _delete(name))
    if refused or missing:
        raise ArchivesRemain(refused=refused, missing=missing)
    return ended


@transaction.atomic
def _on_record(erasure: Erasure) -> list[ExportArchive]:
    """Those that are on record: who puts another one there has the head of the chain, and sees the erasure."""
    erasure.company.system_workspace.chain_head.lock()
    return list(on_record(erasure.company).select_related("company"))


def _count(erasure: Erasure) -> None:
    """Count an archive that ends, in that transaction: whoever repeats the work finds it ended."""
    locked = Erasure.objects.select_for_update(no_key=True).get(pk=erasure.pk)
    locked.counts[TABLE] = locked.counts.get(TABLE, 0) + 1
    locked.save(update_fields=["counts"])


def _strays(erasure: Erasure) -> list[str]:
    """The files of exports that do not run, but those that an archive is kept of.

    They are listed first: what an export that began meanwhile writes is not among them.
    """
    names = storage.strays(before=ALWAYS)
    at_rest = Job.objects.filter(company=erasure.company, type=EXPORT).exclude(status=Job.Status.PROCESSING)
    jobs = {str(pk) for pk in at_rest.values_list("pk", flat=True)}
    kept = set(on_record(erasure.company).values_list("file", flat=True))
    return sorted(name for name in names - kept if name.lstrip(".")[:36] in jobs)


def _delete(name: str) -> bool:
    try:
        storage.delete(name)
    except OSError as error:
        logger.warning("The file %s in EXPORT_STORAGE cannot be deleted yet: %s.", name, error)
        return False
    return True


def _some(names: set[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return f"{', '.join(sorted(names)[:MOST_SHOWN])}{more}"
