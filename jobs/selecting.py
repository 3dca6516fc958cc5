"""Choosing jobs by what an operator names on the command line."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from audit.models import Company
from jobs import registry
from jobs.models import Job
from jobs.models.job import JobQuerySet


class UnknownCompany(LookupError):
    """There is no company of this id."""

    def __init__(self, company: uuid.UUID) -> None:
        super().__init__(f"There is no company {company}; take an id from the admin.")


@dataclass(frozen=True, slots=True)
class Selection:
    """What jobs have to be like; whatever is None or empty does not matter.

    `since` and `until` are held against the time by `clock`, a column of the jobs; `until` itself is not included.
    """

    clock: str
    type: str | None = None
    status: str | None = None
    error: str | None = None
    company: uuid.UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[uuid.UUID] = ()

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return any([self.type, self.status, self.error, self.company, self.since, self.until, self.ids])

    def jobs(self) -> JobQuerySet:
        """Raises jobs.registry.UnknownJobType where neither a handler nor a job is of the type, UnknownCompany."""
        jobs = Job.objects.all()
        if self.type:
            jobs = jobs.filter(type=self._known_type(self.type))
        if self.status:
            jobs = jobs.filter(status=self.status)
        if self.error:
            jobs = jobs.filter(Q(error__icontains=self.error) | Q(traceback__icontains=self.error))
        if self.company:
            if not Company.objects.filter(pk=self.company).exists():
                raise UnknownCompany(self.company)
            jobs = jobs.filter(company=self.company)
        if self.since:
            jobs = jobs.filter(**{f"{self.clock}__gte": self.since})
        if self.until:
            jobs = jobs.filter(**{f"{self.clock}__lt": self.until})
        return jobs.filter(pk__in=self.ids) if self.ids else jobs

    def _known_type(self, job_type: str) -> str:
        if not Job.objects.filter(type=job_type).exists():
            registry.handler_of(job_type)
        return job_type
