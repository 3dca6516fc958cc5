import uuid
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from audit.admin_site import ReadOnlyAdmin
from jobs.admin import showing
from jobs.admin.acting import ACTS, CANCEL, ONCE_MORE, RETRY, act_on_many
from jobs.admin.filters import CompanyFilter, CreatedFilter, QueueFilter, TypeFilter
from jobs.admin.history import ATTEMPTS, LINES, latest_attempts, latest_lines
from jobs.admin.paging import LISTED, BoundedPaginator
from jobs.models import Job, Pause
from jobs.models.job import JobQuerySet

SEARCHED = 100_000
"""The newest jobs that match the filters: among these a key, or a part of an error or a traceback, is searched for."""
WATCHED = 200
"""Jobs that one look at what moves tells of at the most."""


class JobList(ChangeList):
    def get_queryset(self, *args: Any, **named: Any) -> QuerySet[Any]:
        return with_brief_error(cast("JobQuerySet", super().get_queryset(*args, **named)))


def with_brief_error(jobs: JobQuerySet) -> JobQuerySet:
    """Without what may be large, which no list shows, and with the beginning of the error."""
    return jobs.brief().defer("error").annotate(brief_error=Left("error", showing.BRIEF))


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["made", "type", "company", "state", "progress_now", "attempts", "lost_now", "due", "what_happened"]
    list_filter = ["status", TypeFilter, QueueFilter, CreatedFilter, CompanyFilter]
    list_select_related = ["company"]
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by = ["made"]
    ordering = ["-id"]
    search_fields = ["id", "key", "error"]  # what is done with them says get_search_results
    search_help_text = (
        f"The id of a job or of a company; or, among the newest {SEARCHED:,} jobs that match the filters, a key, or a "
        "part of the error or traceback of a dead letter."
    )
    fieldsets = [
        (None, {"fields": ["id", "type", "queue", "company", "key", "priority"]}),
        ("State", {"fields": ["state", "progress_now", "attempts", "lost_now", "due", "error_text"]}),
        ("Times", {"fields": ["created_at", "started_at", "completed_at", "cancel_requested_at"]}),
        ("Payload", {"fields": ["payload_text", "follow_up_text"]}),
        ("Result", {"fields": ["result_text"]}),
        ("Inside", {"fields": ["traceback_text", "claimed_by"], "classes": ["collapse"]}),
    ]
    actions = ["retry", "retry_once", "cancel"]

    class Media:
        css = {"all": ["jobs/admin.css"]}
        js = ["jobs/live.js"]

    # --- What is shown ---

    @admin.display(description="created", ordering="id")
    def made(self, job: Job) -> Any:
        return job.created_at

    @admin.display
    def state(self, job: Job) -> SafeString:
        return showing.cell(job, "state")

    @admin.display(description="progress")
    def progress_now(self, job: Job) -> SafeString:
        return showing.bar(job)

    @admin.display
    def attempts(self, job: Job) -> SafeString:
        return showing.cell(job, "attempts")

    @admin.display(description="lost")
    def lost_now(self, job: Job) -> SafeString:
        return showing.cell(job, "lost")

    @admin.display(description="error")
    def what_happened(self, job: Job) -> SafeString:
        return showing.cell(job, "error")

    @admin.display(description="run at")
    def due(self, job: Job) -> SafeString:
        return showing.cell(job, "run_at")

    @admin.display(description="error")
    def error_text(self, job: Job) -> SafeString:
        return showing.text(job.error)

    @admin.display(description="traceback")
    def traceback_text(self, job: Job) -> SafeString:
        return showing.text(job.traceback)

    @admin.display(description="payload")
    def payload_text(self, job: Job) -> SafeString:
        return showing.as_json(job.payload)

    @admin.display(description="result")
    def result_text(self, job: Job) -> SafeString:
        return showing.as_json(job.result)

    @admin.display(description="on success")
    def follow_up_text(self, job: Job) -> SafeString:
        return showing.as_json(showing.following(job.follow_up))

    # --- Finding ---

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:  # noqa: ARG002
        return JobList

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Job],
        search_term: str,
    ) -> tuple[QuerySet[Job], bool]:
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        try:
            known = uuid.UUID(term)
        except ValueError:
            newest = queryset.order_by("-pk").values("pk")[:SEARCHED]
            why = Q(error__icontains=term) | Q(traceback__icontains=term)
            found = Q(key=term) | Q(why, status=Job.Status.FAILED)
            return queryset.filter(found, pk__in=newest), False
        return queryset.filter(Q(pk=known) | Q(company=known) | Q(key=term)), False

    # --- Pages ---

    def get_urls(self) -> list[URLPattern]:
        return [
            path("live/", self.admin_site.admin_view(self.live), name="jobs_job_live"),
            path("<uuid:pk>/<slug:name>/now/", self.admin_site.admin_view(self.act_on_one), name="jobs_job_act"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        paused = {"pauses": Pause.objects.order_by("kind", "name"), "listed": LISTED}
        answer: HttpResponse = super().changelist_view(request, {**paused, **(extra_context or {})})
        return answer

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **named: Any) -> HttpResponse:
        job: Job = named["obj"]
        offered = [act for act in ACTS.values() if act.suits(job)] if self.has_act_permission(request) else []
        context |= {
            "acts": offered,
            "pauses": Pause.objects.filter(Q(kind="queue", name=job.queue) | Q(kind="type", name=job.type)),
            "version": showing.moving(job)["version"],
            "active": showing.moving(job)["active"],
            "attempts": latest_attempts(job),
            "attempts_shown": ATTEMPTS,
            "lines": latest_lines(job),
            "lines_shown": LINES,
        }
        answer: HttpResponse = super().render_change_form(request, context, *args, **named)
        return answer

    def live(self, request: HttpRequest) -> HttpResponse:
        """What moves of the jobs that a page shows."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        jobs = with_brief_error(Job.objects.filter(pk__in=known_ids(request.GET.getlist("id")[:WATCHED])))
        return JsonResponse({"jobs": {str(job.pk): showing.moving(job) for job in jobs}})

    def act_on_one(self, request: HttpRequest, pk: uuid.UUID, name: str) -> HttpResponse:
        """A button on a job's page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_act_permission(request):
            raise PermissionDenied
        job = Job.objects.filter(pk=pk).first()
        act = ACTS.get(name)
        if job is None or act is None:
            raise Http404
        if act.do(Job.objects.filter(pk=pk), now=timezone.now()):
            self.log_change(request, job, act.title)
            self.message_user(request, f"Done. {act.title}.")
        else:
            self.message_user(request, f"Nothing was changed: {act.otherwise}.", messages.WARNING)
        return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[pk]))

    # --- Many at once ---

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_job")

    @admin.action(description=RETRY.title, permissions=["act"])
    def retry(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        return act_on_many(request, _chosen(jobs), RETRY, admin=self)

    @admin.action(description=ONCE_MORE.title, permissions=["act"])
    def retry_once(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        return act_on_many(request, _chosen(jobs), ONCE_MORE, admin=self)

    @admin.action(description=CANCEL.title, permissions=["act"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        return act_on_many(request, _chosen(jobs), CANCEL, admin=self)


def _chosen(jobs: QuerySet[Job]) -> JobQuerySet:
    return Job.objects.filter(pk__in=jobs.order_by().values("pk"))


def known_ids(texts: list[str]) -> list[uuid.UUID]:
    """Those of the texts that are ids."""
    return [job_id for job_id in map(_uuid, texts) if job_id]


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
