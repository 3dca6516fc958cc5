from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from jobs import registry
from jobs.apps import QUEUES
from jobs.models import Pause
from jobs.models.pause import REASON, Kind

Choices = list[tuple[str, Any]]


def _choices() -> Choices:
    """Each queue and each type, as `kind:name`; none to begin with."""
    types = sorted(handler.type for handler in registry.handlers())
    return [
        ("", "---------"),
        ("Queues", [(f"{Kind.QUEUE}:{name}", name) for name in QUEUES]),
        ("Types", [(f"{Kind.TYPE}:{name}", name) for name in types]),
    ]


class PauseForm(forms.ModelForm[Pause]):
    what = forms.ChoiceField(
        choices=_choices, help_text="Nothing is claimed from it until it is resumed. What runs already goes on."
    )
    reason = forms.CharField(
        max_length=REASON,
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField"}),
        help_text="Shown in the list of jobs.",
    )

    class Meta:
        model = Pause
        fields: list[str] = []

    def clean_what(self) -> str:
        what: str = self.cleaned_data["what"]
        kind, _, name = what.partition(":")
        if Pause.objects.filter(kind=kind, name=name).exists():
            raise forms.ValidationError(f"The {kind} {name} is paused already.")
        return what


@admin.register(Pause)
class PauseAdmin(admin.ModelAdmin[Pause]):
    """Who may add a pause can pause, who may delete one can resume."""

    form = PauseForm
    list_display = ["name", "kind", "reason", "paused_at"]
    list_filter = ["kind"]
    ordering = ["kind", "name"]
    actions = ["resume"]

    class Media:
        css = {"all": ["jobs/admin.css"]}

    def get_fields(self, request: HttpRequest, obj: Pause | None = None) -> Any:  # noqa: ARG002
        return ["kind", "name", "reason", "paused_at"] if obj else ["what", "reason"]

    def has_change_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:  # noqa: ARG002
        return False  # `resume` does it, and rings

    def has_view_permission(self, request: HttpRequest, obj: Pause | None = None) -> bool:
        return super().has_view_permission(request, obj) or self.has_resume_permission(request)

    def has_resume_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.delete_pause")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resume_one)
        return [path("<int:pk>/resume/", view, name="jobs_pause_resume"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        kind, _, name = form.cleaned_data["what"].partition(":")
        Pause.objects.pause(Kind(kind), name, reason=form.cleaned_data["reason"])
        made = Pause.objects.get(kind=kind, name=name)
        obj.pk, obj.kind, obj.name, obj.reason = made.pk, made.kind, made.name, made.reason

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **named: Any) -> HttpResponse:
        context |= {"may_resume": self.has_resume_permission(request)}
        answer: HttpResponse = super().render_change_form(request, context, *args, **named)
        return answer

    def resume_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The button on the page of a pause."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_resume_permission(request):
            raise PermissionDenied
        pauses = Pause.objects.filter(pk=pk)
        if not pauses:
            raise Http404
        self._resume(request, pauses)
        return HttpResponseRedirect(reverse("admin:jobs_pause_changelist"))

    @admin.action(description="Resume", permissions=["resume"])
    def resume(self, request: HttpRequest, pauses: QuerySet[Pause]) -> None:
        self._resume(request, pauses)

    def _resume(self, request: HttpRequest, pauses: QuerySet[Pause]) -> None:
        for pause in list(pauses):
            self.log_deletions(request, Pause.objects.filter(pk=pause.pk))
            if Pause.objects.resume(Kind(pause.kind), pause.name):
                self.message_user(request, f"The {pause} goes on.")
            else:
                self.message_user(request, f"The {pause} was resumed by somebody else.", messages.WARNING)
