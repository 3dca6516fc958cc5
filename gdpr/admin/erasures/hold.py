import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString

from audit.models.company import ChainBusy
from gdpr.admin import showing
from gdpr.admin.acting import ActingAdmin, operator
from gdpr.admin.adding import AddingAdmin
from gdpr.admin.filters import CompanyFilter
from gdpr.admin.listing import company_field
from gdpr.admin.searching import SearchedAdmin
from gdpr.admin.subject_form import ScopedForm
from gdpr.erasures import holds
from gdpr.erasures.reasons import InvalidReason
from gdpr.models import Erasure, LegalHold
from gdpr.models.erasure import MOST_REASON

LIFT = "gdpr.change_legalhold"


class HoldForm(ScopedForm):
    reason = forms.CharField(
        max_length=MOST_REASON,
        widget=AdminTextareaWidget(attrs={"rows": 4}),
        help_text="Why the data must be kept: the claim, the proceedings, the law (GDPR, Art. 17(3)).",
    )


class HoldFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("active", "active"), ("lifted", "lifted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        match self.value():
            case "active":
                return queryset.filter(lifted_at=None)
            case "lifted":
                return queryset.exclude(lifted_at=None)
        return queryset


@admin.register(LegalHold)
class LegalHoldAdmin(SearchedAdmin, ActingAdmin, AddingAdmin):
    """A hold is placed and lifted, each on record; it is never edited, and never deleted."""

    list_display = ["placed", "company", "about", "state", "placed_by", "lifted_by"]
    list_filter = [HoldFilter, CompanyFilter]
    list_select_related = ["company"]
    searched_ids = "The id of a legal hold"
    adding_form = HoldForm
    adding_title = "Place a legal hold"

    class Media:
        css = {"all": ["jobs/admin.css", "gdpr/admin.css"]}

    # --- What is shown ---

    @admin.display(description="placed (UTC)", ordering="pk")
    def placed(self, hold: LegalHold) -> Any:
        return hold.placed_at

    @admin.display(description="keeps")
    def about(self, hold: LegalHold) -> str:
        return showing.person_in_brief(hold.subject) if hold.subject else "the whole company"

    @admin.display(description="keeps")
    def person(self, hold: LegalHold) -> SafeString:
        return showing.person(hold.subject)

    @admin.display
    def state(self, hold: LegalHold) -> str:
        return "lifted" if hold.lifted_at else "active"

    def get_fieldsets(self, request: HttpRequest, obj: LegalHold | None = None) -> Any:  # noqa: ARG002
        return [
            (None, {"fields": [company_field(request), "person", "reason", "state"]}),
            ("Placed", {"fields": ["placed_by", "placed_at"]}),
            ("Lifted", {"fields": ["lifted_by", "lifted_at"]}),
        ]

    def get_urls(self) -> list[URLPattern]:
        return [*self.search_urls(), self.button("lift", self.lift), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **named: Any) -> HttpResponse:
        hold: LegalHold = named["obj"]
        may = request.user.has_perm
        context |= {
            "may_lift": hold.lifted_at is None and may(LIFT),
            "may_see_erasures": may("gdpr.view_erasure") or may("gdpr.change_erasure"),
            "waiting": _waiting(hold),
        }
        answer: HttpResponse = super().render_change_form(request, context, *args, **named)
        return answer

    # --- What is done ---

    def add(self, request: HttpRequest, form: HoldForm) -> LegalHold | None:
        chosen = form.cleaned_data
        try:
            hold = holds.place(
                company=chosen["company"],
                subject=form.subject,
                reason=chosen["reason"],
                placed_by=operator(request),
                now=timezone.now(),
            )
        except InvalidReason as error:
            form.add_error("reason", str(error))
            return None
        except ChainBusy as error:
            form.add_error(None, str(error))
            return None
        self.log_addition(request, hold, "Placed the legal hold.")
        told = "The legal hold was placed: what it keeps is not erased until it is lifted."
        self.message_user(request, told, messages.SUCCESS)
        return hold

    def lift(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """It asks first."""
        hold = self.find(request, pk, LIFT)
        if hold.lifted_at:
            return self.back(request, hold, f"Nothing was changed: {hold.lifted_by} has lifted this hold before.")
        if request.method != "POST":
            told = "Nothing keeps the data then: erasures that waited for it can be approved, and those that were "
            told += "approved go on by themselves. To keep what is left takes a new hold."
            context = {"title": "Lift the legal hold", "told": told, "button": "Lift"}
            return self.ask(request, hold, **context)
        try:
            lifted = holds.lift(hold, lifted_by=operator(request), now=timezone.now())
        except ChainBusy as error:
            return self.back(request, hold, str(error))
        if not lifted:
            return self.back(request, hold, "Nothing was changed: somebody else has lifted this hold just now.")
        self.log_change(request, hold, "Lifted the legal hold.")
        return self.back(request, hold, "The legal hold was lifted.", messages.SUCCESS)


def _waiting(hold: LegalHold) -> list[Erasure]:
    """The erasures that a hold keeps from running, the oldest first."""
    if hold.lifted_at:
        return []
    asked = Erasure.objects.of(hold.company).unanswered().defer("certificate").order_by("pk")
    return [erasure for erasure in asked if holds.first_blocking([hold], erasure.person())]
