import json
import uuid
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from gdpr.admin import showing
from gdpr.admin.erasures import showing as erasures
from gdpr.admin.erasures.annotating import brief
from gdpr.admin.erasures.deciding import DecidingAdmin
from gdpr.admin.erasures.holding import held_undecided, mark_held
from gdpr.admin.erasures.page import around
from gdpr.admin.erasures.requesting import RequestingAdmin
from gdpr.admin.filters import CompanyFilter, DueFilter, is_by_due_date
from gdpr.admin.listing import company_field
from gdpr.admin.searching import SearchedAdmin, SoughtList
from gdpr.erasures import certificate
from gdpr.models import Erasure
from jobs.admin.job import WATCHED, known_ids
from jobs.admin.paging import LISTED
from jobs.admin.showing import text

VIEW = "gdpr.view_erasure"
NOTHING_FROM_ELSEWHERE = "default-src 'none'; style-src 'unsafe-inline'"
"""A certificate shows texts from outside: whatever they are, the browser runs and fetches nothing."""


class ErasureList(SoughtList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        mark_held(self.result_list)

    @property
    def active(self) -> str:
        """The ids of those that the page refreshes by itself."""
        return " ".join(str(asked.pk) for asked in self.result_list if erasures.moving(asked)["active"])


class ErasureDueFilter(DueFilter):
    answered = "completed or rejected"


@admin.register(Erasure)
class ErasureAdmin(SearchedAdmin, DecidingAdmin, RequestingAdmin):
    """Who may view erasures sees whom they are about; to request one, and to decide, takes permissions of its own."""

    list_display = ["made", "company", "about", "status_now", "approvals_now", "due_on", "requested_by"]
    list_filter = ["status", ErasureDueFilter, CompanyFilter]
    sortable_by = ["made", "due_on"]
    searched_ids = "The id of an erasure"

    class Media:
        css = {"all": ["jobs/admin.css", "gdpr/admin.css"]}
        js = ["jobs/live.js"]

    # --- What is shown ---

    @admin.display(description="created (UTC)", ordering="pk")
    def made(self, asked: Erasure) -> Any:
        return asked.created_at

    @admin.display(description="subject")
    def about(self, asked: Erasure) -> str:
        return showing.person_in_brief(asked.subject) if asked.subject else erasures.FORGOTTEN

    @admin.display(description="subject")
    def person(self, asked: Erasure) -> SafeString:
        return showing.person(asked.subject, otherwise="forgotten: the erasure is completed")

    @admin.display(description="status")
    def status_now(self, asked: Erasure) -> SafeString:
        error = showing.cell(asked, "error", erasures.moving(asked)["error"])
        parts = (erasures.state_cell(asked), erasures.progress(asked), error)
        return format_html('{}<div>{}</div><div class="gdpr-error">{}</div>', *parts)

    @admin.display(description="state")
    def state_now(self, asked: Erasure) -> SafeString:
        return erasures.state_cell(asked)

    @admin.display(description="progress")
    def progress_now(self, asked: Erasure) -> SafeString:
        return erasures.progress(asked)

    @admin.display(description="approvals")
    def approvals_now(self, asked: Erasure) -> SafeString:
        return showing.cell(asked, "approvals", erasures.moving(asked)["approvals"])

    @admin.display(description="due", ordering="due_at")
    def due_on(self, asked: Erasure) -> SafeString:
        return erasures.due(asked, now=timezone.now())

    @admin.display(description="error")
    def error_text(self, asked: Erasure) -> SafeString:
        work = erasures.work_of(asked)
        return text(work.error if work else "")

    def get_fieldsets(self, request: HttpRequest, obj: Erasure | None = None) -> Any:
        asked = [company_field(request), "person", "reason", "requested_by", "created_at", "due_on"]
        running = ["progress_now"] if obj and erasures.progress(obj) else []
        state = ["state_now", *running, "error_text", "started_at", "completed_at", "pseudonym"]
        rejected = [("Rejection", {"fields": ["rejected_by", "rejected_at", "rejection"]})]
        told = rejected if obj and obj.rejected_at else []
        return [(None, {"fields": asked}), ("State", {"fields": state}), *told]

    # --- Pages ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[Erasure]:
        return brief(super().get_queryset(request))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Erasure | None:
        asked: Erasure | None = super().get_object(request, object_id, from_field)
        if asked:
            mark_held([asked])
        return asked

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:  # noqa: ARG002
        return ErasureList

    def get_ordering(self, request: HttpRequest) -> Any:
        return ["due_at", "pk"] if is_by_due_date(request) else ["-pk"]

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("live/", self.admin_site.admin_view(self.live), name="gdpr_erasure_live"),
            self.button("certificate", require_safe(self.certificate)),
            self.button("certificate_file", require_safe(self.certificate_file)),
        ]
        return [*own, *self.search_urls(), *self.acting_urls(), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        waiting = {
            "overdue": Erasure.objects.overdue(now=timezone.now())[:LISTED].count(),
            "undecided": Erasure.objects.undecided()[:LISTED].count(),
            "held": held_undecided(most=LISTED),
            "listed": LISTED,
        }
        answer: HttpResponse = super().changelist_view(request, {**waiting, **(extra_context or {})})
        return answer

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **named: Any) -> HttpResponse:
        asked: Erasure = named["obj"]
        context |= {**around(asked), **self.offered(request, asked)}
        answer: HttpResponse = super().render_change_form(request, context, *args, **named)
        return answer

    def live(self, request: HttpRequest) -> HttpResponse:
        """What moves of the erasures that a page shows, as jobs/live.js reads it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = list(brief(Erasure.objects.filter(pk__in=known_ids(request.GET.getlist("id")[:WATCHED]))))
        mark_held(shown)
        return JsonResponse({"jobs": {str(asked.pk): erasures.moving(asked) for asked in shown}})

    # --- The certificate ---

    def certificate(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """As a page to read and to print."""
        page = certificate.as_page(self._certificate(request, pk))
        return HttpResponse(page, headers={"Content-Security-Policy": NOTHING_FROM_ELSEWHERE})

    def certificate_file(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """As whoever checks the signature needs it."""
        written = json.dumps(self._certificate(request, pk), indent=2, ensure_ascii=False)
        name = f'attachment; filename="erasure-{pk}.json"'
        headers = {"Content-Disposition": name, "Content-Type": "application/json"}
        return HttpResponse(written, headers=headers)

    def _certificate(self, request: HttpRequest, pk: uuid.UUID) -> dict[str, Any]:
        asked: Erasure = self.find(request, pk, VIEW, "gdpr.change_erasure")
        certified: dict[str, Any] | None = asked.certificate
        if certified is None:
            raise Http404
        return certified
