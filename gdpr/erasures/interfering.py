"""Exports beside erasures: what was read before a person was erased must not be handed out after that.

Whoever makes an archive asks here before, between and, with the head of the company's `system` chain locked, when the
archive is put on record. An erasure deletes the archives that are on record (gdpr.erasures.archives) before it is
completed, and it is completed with that head locked: so each archive is met by one or the other. While a legal hold
keeps an erasure, archives are put on record again: it looks for them once more where it goes on.
"""

from audit.drafts import SYSTEM_CATEGORY
from audit.erasing import ERASED
from audit.models import AuditEvent, Company
from gdpr.erasures.holds import blocking
from gdpr.models import Erasure
from jobs.models import Job

COMPLETED = "gdpr.erasure.completed"
"""The event of an erasure that is done; one that found the person in no event records nothing else."""


class ErasedMeanwhile(Exception):
    """An erasure of this company is at work, or was while the export was read: it has to begin anew after that."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def is_erasing(company: Company) -> bool:
    """Whether an erasure of the company is at work. One that waits, for a legal hold say, is not: it may for months.

    Nor is one whose job just looks whether the hold is still there, as it does each minute.
    """
    begun = Erasure.objects.of(company).filter(status=Erasure.Status.PROCESSING)
    at_work = begun.filter(job__status=Job.Status.PROCESSING).only("subject")
    return any(blocking(company, erasure.person()) is None for erasure in at_work)


def check(company: Company, *, since: int) -> None:
    """Raise ErasedMeanwhile if an erasure is at work, or has left an event in the `system` chain behind that seq."""
    if is_erasing(company) or _recorded(company, since=since):
        raise ErasedMeanwhile


def _recorded(company: Company, *, since: int) -> bool:
    later = AuditEvent.objects.filter(workspace=company.system_workspace, seq__gt=since)
    return later.filter(category=SYSTEM_CATEGORY, action__in=(ERASED, COMPLETED)).exists()
