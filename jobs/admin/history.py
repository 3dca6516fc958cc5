"""Attempts and log lines: on the page of their job, and in lists of their own."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from audit.admin_site import ReadOnlyAdmin
from jobs.admin import showing
from jobs.admin.paging import BoundedPaginator
from jobs.models import Job, JobAttempt, JobLog

ATTEMPTS = 50
"""The latest, on the page of a job."""
LINES = 300


def latest_attempts(job: Job) -> list[dict[str, Any]]:
    """Newest first, their texts cut off as everywhere in the admin."""
    return [
        {
            "row": attempt,
            "error": showing.text(attempt.error),
            "traceback": attempt.traceback and showing.text(attempt.traceback),
        }
        for attempt in job.history.order_by("-id")[:ATTEMPTS]
    ]


def latest_lines(job: Job) -> list[JobLog]:
    """In the order in which they were written."""
    return list(job.log.order_by("-id")[:LINES])[::-1]


class _OfJob(ReadOnlyAdmin):
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by = []
    ordering = ["-id"]
    search_fields = ["job__id__exact"]
    search_help_text = "A job's id."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        own = [field.name for field in self.model._meta.concrete_fields]  # noqa: SLF001
        rows = super().get_queryset(request).select_related("job", "company")
        return rows.only(*own, "job__type", "company__name")  # a job's payload may be large


@admin.register(JobAttempt)
class JobAttemptAdmin(_OfJob):
    list_display = ["started_at", "job", "number", "outcome", "worker", "ended_at", "company"]
    list_filter = ["outcome"]
    fields = ["job", "company", "number", "outcome", "worker", "started_at", "ended_at", "error_text", "traceback_text"]

    @admin.display(description="error")
    def error_text(self, attempt: JobAttempt) -> SafeString:
        return showing.text(attempt.error)

    @admin.display(description="traceback")
    def traceback_text(self, attempt: JobAttempt) -> SafeString:
        return showing.text(attempt.traceback)


@admin.register(JobLog)
class JobLogAdmin(_OfJob):
    list_display = ["at", "job", "attempt", "level", "text", "company"]
    list_filter = ["level"]
    fields = ["job", "company", "attempt", "level", "text", "at"]
