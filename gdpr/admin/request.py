from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gdpr.admin import showing
from gdpr.admin.choosing import companies
from gdpr.admin.exporting import ExportingAdmin
from gdpr.admin.filters import CompanyFilter, DownloadFilter, DueFilter, is_by_due_date
from gdpr.admin.page import around
from gdpr.admin.requesting import RequestingAdmin
from gdpr.admin.searching import SearchedAdmin
from gdpr.models import ExportRequest
from jobs.admin.acting import CANCEL, act_on_many
from jobs.admin.job import WATCHED, known_ids
from jobs.admin.paging import LISTED
from jobs.admin.showing import BRIEF, bar, text
from jobs.admin.showing import cell as job_cell
from jobs.models import Job

LARGE = ("payload", "secrets", "result", "traceback", "follow_up", "archive__counts", "archive__checkpoint")
"""Columns of the job and of its archive that no list shows."""


def brief(requests: QuerySet[ExportRequest]) -> QuerySet[ExportRequest]:
    """With the job, and of what it notes while it runs only how much it has read; whether it owes an answer
    and whether anybody downloaded it.
    """
    amounts = {"rows": "rows", "rows_expected": "expectedRows", "bytes": "bytes", "bytes_expected": "expectedBytes"}
    noted = {name: F(f"job__result__{key}") for name, key in amounts.items()}
    owed = Exists(ExportRequest.objects.unanswered().filter(pk=OuterRef("pk")))
    downloaded = Exists(ExportRequest.objects.downloaded().filter(pk=OuterRef("pk")))
    marked = requests.annotate(owed=owed, downloaded=downloaded, **noted)
    with_job = marked.select_related("company", "job__archive")
    return with_job.defer(*(f"job__{column}" for column in LARGE))


@admin.register(ExportRequest)
class ExportRequestAdmin(SearchedAdmin, ExportingAdmin, RequestingAdmin):
    """Who may view requests sees whom they are about; each thing that can be done has a permission of its own."""

    list_display = [
        "made", "company", "about", "due_on", "status", "archive_now", "requested_by",
    ]  # fmt: skip
    list_filter = [DueFilter, DownloadFilter, ("job__status", admin.ChoicesFieldListFilter), "scope", CompanyFilter]
    sortable_by = ["made", "due_on"]
    fieldsets = [
        (None, {"fields": ["company", "scope", "person", "csv", "requested_by", "created_at"]}),
        ("Answer", {"fields": ["due_on", "due_at", "extended_at", "extension_reason"]}),
        ("Progress", {"fields": ["job_shown", "state", "progress_now", "attempts_now", "error_text"]}),
    ]
    actions = ["cancel"]
    searched_ids = "The id of a job"

    class Media:
        css = {"all": ["jobs/admin.css", "gdpr/admin.css"]}
        js = ["jobs/live.js"]

    # --- What is shown ---

    @admin.display(description="created (UTC)", ordering="pk")
    def made(self, asked: ExportRequest) -> Any:
        return asked.created_at

    @admin.display(description="subject")
    def about(self, asked: ExportRequest) -> str:
        return showing.person_in_brief(asked.subject) if asked.subject else "the whole company"

    @admin.display(description="subject")
    def person(self, asked: ExportRequest) -> SafeString:
        return showing.person(asked.subject)

    @admin.display
    def state(self, asked: ExportRequest) -> SafeString:
        return job_cell(asked.job, "state")

    @admin.display(description="progress")
    def progress_now(self, asked: ExportRequest) -> SafeString:
        amount = showing.cell(asked, "amount", showing.amount(asked))
        return format_html("{}<div>{}</div>", bar(asked.job), amount)

    @admin.display(description="status")
    def status(self, asked: ExportRequest) -> SafeString:
        error = showing.cell(asked, "error", asked.job.error[:BRIEF])
        parts = (self.state(asked), self.progress_now(asked), error)
        return format_html('{}<div>{}</div><div class="gdpr-error">{}</div>', *parts)

    @admin.display(description="attempts")
    def attempts_now(self, asked: ExportRequest) -> SafeString:
        return job_cell(asked.job, "attempts")

    @admin.display(description="due", ordering="due_at")
    def due_on(self, asked: ExportRequest) -> SafeString:
        return showing.due(asked, now=timezone.now())

    @admin.display(description="archive")
    def archive_now(self, asked: ExportRequest) -> SafeString:
        return showing.cell(asked, "archive", showing.archive_state(asked, now=timezone.now()))

    @admin.display(description="error")
    def error_text(self, asked: ExportRequest) -> SafeString:
        return text(asked.job.error)

    @admin.display(description="job")
    def job_shown(self, asked: ExportRequest) -> str:
        return str(asked.pk)

    # --- Pages ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[ExportRequest]:
        return brief(super().get_queryset(request))

    def get_ordering(self, request: HttpRequest) -> Any:
        return ["due_at", "pk"] if is_by_due_date(request) else ["-pk"]

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("live/", self.admin_site.admin_view(self.live), name="gdpr_exportrequest_live"),
            path("companies/", self.admin_site.admin_view(companies), name="gdpr_exportrequest_companies"),
        ]
        return [*own, *self.search_urls(), *self.acting_urls(), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        now = timezone.now()
        urgent = {
            "overdue": ExportRequest.objects.overdue(now=now)[:LISTED].count(),
            "soon": ExportRequest.objects.due_soon(now=now)[:LISTED].count(),
            "listed": LISTED,
        }
        answer: HttpResponse = super().changelist_view(request, {**urgent, **(extra_context or {})})
        return answer

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **named: Any) -> HttpResponse:
        asked: ExportRequest = named["obj"]
        now = timezone.now()
        context |= {**around(asked, now=now), **self.offered(request, asked, now=now)}
        answer: HttpResponse = super().render_change_form(request, context, *args, **named)
        return answer

    def live(self, request: HttpRequest) -> HttpResponse:
        """What moves of the exports that a page shows, as jobs/live.js reads it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = brief(ExportRequest.objects.filter(pk__in=known_ids(request.GET.getlist("id")[:WATCHED])))
        now = timezone.now()
        return JsonResponse({"jobs": {str(each.pk): showing.moving(each, now=now) for each in asked}})

    # --- Many at once ---

    @admin.action(description=CANCEL.title, permissions=["change_requests"])
    def cancel(self, request: HttpRequest, requests: QuerySet[ExportRequest]) -> HttpResponse | None:
        jobs = Job.objects.filter(pk__in=requests.order_by().values("pk"))
        return act_on_many(request, jobs, CANCEL, admin=self)
