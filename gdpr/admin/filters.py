from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from gdpr.models.due import SOON, OwedQuerySet
from gdpr.models.request import ExportRequestQuerySet
from jobs.admin import filters

DUE = "due"
UNANSWERED = {"overdue": "overdue", "soon": f"within {SOON.days} days", "later": "later"}


def is_by_due_date(request: HttpRequest) -> bool:
    """Whether a list shows what is to be answered: the most urgent comes first then."""
    return request.GET.get(DUE) in UNANSWERED


class CompanyFilter(filters.CompanyFilter):
    """As that of jobs; but every export belongs to a company."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        offered = super().lookups(request, model_admin)
        return [(value, name) for value, name in offered if value != filters.OWN]


class DueFilter(admin.SimpleListFilter):
    title = parameter_name = DUE
    answered = "archive made"
    """What is said of those that owe nothing any more."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [*UNANSWERED.items(), ("answered", self.answered)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        requests, now = cast("OwedQuerySet[Any]", queryset), timezone.now()
        match self.value():
            case "overdue":
                return requests.overdue(now=now)
            case "soon":
                return requests.due_soon(now=now)
            case "later":
                return requests.due_later(now=now)
            case "answered":
                return requests.answered()
        return requests


class DownloadFilter(admin.SimpleListFilter):
    title = parameter_name = "download"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("done", "downloaded"), ("waiting", "not yet"), ("never", "never: the archive expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        requests, now = cast("ExportRequestQuerySet", queryset), timezone.now()
        match self.value():
            case "done":
                return requests.downloaded()
            case "waiting":
                return requests.waiting_for_download(now=now)
            case "never":
                return requests.never_downloaded(now=now)
        return requests
