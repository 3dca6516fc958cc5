"""What can be done to jobs in the admin, to one or to many."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from audit.notices import notice
from jobs.bulk import cancel, retry
from jobs.models import Job
from jobs.models.job import ACTIVE, ENDED, JobQuerySet, Status
from jobs.registry import owed_types


@dataclass(frozen=True, slots=True)
class Act:
    """`states` are those of the jobs that it changes; `told` says it of so many."""

    name: str
    button: str
    title: str
    states: tuple[Status, ...]
    run: Callable[..., int]
    told: str
    otherwise: str

    def suits(self, job: Job) -> bool:
        """Whether it is offered for a job."""
        return job.status in self.states and not (self.name == "cancel" and job.type in owed_types())

    def do(self, jobs: JobQuerySet, *, now: datetime) -> int:
        """Change those of the jobs that can be; says how many."""
        return self.run(jobs, now=now)


_LEFT = "only failed and cancelled ones can be retried, and no job whose key belongs to an active one"

RETRY = Act(
    name="retry",
    button="Retry",
    title="Retry: a fresh round of attempts",
    states=ENDED,
    run=retry,
    told="{count} jobs are due again",
    otherwise=_LEFT,
)
ONCE_MORE = Act(
    name="retry_once",
    button="Retry once",
    title="Retry: one more attempt, those before it count",
    states=ENDED,
    run=partial(retry, fresh=False),
    told="{count} jobs get one more attempt",
    otherwise=_LEFT,
)
CANCEL = Act(
    name="cancel",
    button="Cancel",
    title="Cancel: waiting ones at once, running ones are asked to stop",
    states=ACTIVE,
    run=cancel,
    told="{count} jobs were cancelled or asked to stop",
    otherwise="only those that wait or run can be cancelled, and none that is owed to somebody, as an erasure is",
)
ACTS = {act.name: act for act in (RETRY, ONCE_MORE, CANCEL)}


def act_on_many(request: HttpRequest, jobs: JobQuerySet, act: Act, *, admin: ModelAdmin[Any]) -> HttpResponse | None:
    """The chosen jobs, or all that the filters of a list match; first asked about, then done."""
    if "confirmed" in request.POST:
        count = act.do(jobs, now=timezone.now())
        notice("jobs.changed_by_hand", action=act.name, count=count, user=request.user.pk)
        admin.message_user(request, f"{act.told.format(count=f'{count:,}')}; {act.otherwise}.")
        return None
    context = {
        "title": act.title,
        "opts": admin.opts,
        "act": act,
        "count": jobs.filter(status__in=act.states).count(),
        "matched": jobs.count(),
        "across": request.POST.get("select_across", "0") == "1",
        "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "checkbox": ACTION_CHECKBOX_NAME,
    }
    whole = {**admin.admin_site.each_context(request), **context}
    return TemplateResponse(request, "admin/jobs/job/confirm.html", whole)
