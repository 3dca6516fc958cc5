"""Archives that may hold an erased person: deleted with their files, before the erasure is completed."""

import logging
from datetime import UTC, datetime

from django.db import transaction

from gdpr import storage
from gdpr.models import Erasure, ExportArchive
from gdpr.requesting import EXPORT
from jobs.models import Job

logger = logging.getLogger(__name__)

ALWAYS = datetime.max.replace(tzinfo=UTC)
MOST_SHOWN = 10
"""Files that are named where they cannot be deleted."""


class ArchivesRemain(storage.StorageUnavailable):
    """Archives of the company that is erased from cannot be deleted now."""

    def __init__(self, names: set[str]) -> None:
        more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
        super().__init__(
            "Files in EXPORT_STORAGE that may hold an erased person cannot be deleted now:"
            f" {', '.join(sorted(names)[:MOST_SHOWN])}{more}. The log says why; the erasure goes on once they are gone."
        )


def purge(erasure: Erasure, *, now: datetime) -> int:
    """Delete all archives of the company that are on record, with their files; says how many ended by it.

    All, whatever their scope: one that was asked for by Bob's identifiers may hold events that name Ada. Also the files
    of those that had ended before, and what exports that do not run left behind. Outside of any transaction; done
    again, it does what was left undone. An export that runs is not met: it is not put on record as long as the erasure
    is at work (gdpr.erasures.interfering).

    Raises ArchivesRemain where the storage did not delete all of them, audit.models.company.ChainBusy.
    """
    archives = ExportArchive.objects.filter(company=erasure.company)
    on_record = _on_record(erasure)
    ended = sum(archive.expire(now=now, reason=f"erasure {erasure.pk}") for archive in on_record)
    left = {archive.file for archive in archives.exclude(purging="") if not archive.purge(now=now)}
    left.update(archives.ready().filter(pk__in=[archive.pk for archive in on_record]).values_list("file", flat=True))
    left.update(name for name in _strays(erasure) if not _delete(name))
    if left:
        raise ArchivesRemain(left)
    return ended


@transaction.atomic
def _on_record(erasure: Erasure) -> list[ExportArchive]:
    """Those that are on record: who puts another one there has the head of the chain, and sees the erasure."""
    erasure.company.system_workspace.chain_head.lock()
    return list(ExportArchive.objects.ready().filter(company=erasure.company).select_related("company"))


def _strays(erasure: Erasure) -> list[str]:
    """The files of exports that do not run, but those that an archive is kept of.

    They are listed first: what an export that began meanwhile writes is not among them.
    """
    names = storage.strays(before=ALWAYS)
    at_rest = Job.objects.filter(company=erasure.company, type=EXPORT).exclude(status=Job.Status.PROCESSING)
    jobs = {str(pk) for pk in at_rest.values_list("pk", flat=True)}
    kept = set(ExportArchive.objects.ready().filter(company=erasure.company).values_list("file", flat=True))
    return sorted(name for name in names - kept if name.lstrip(".")[:36] in jobs)


def _delete(name: str) -> bool:
    try:
        storage.delete(name)
    except OSError as error:
        logger.warning("The file %s in EXPORT_STORAGE cannot be deleted yet: %s.", name, error)
        return False
    return True
