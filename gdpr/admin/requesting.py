import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize

from audit.models import Company
from audit.models.company import ChainBusy
from gdpr.admin.choosing import CompanySelect
from gdpr.admin.listing import ListedAdmin
from gdpr.models import ExportRequest
from gdpr.requesting import TooManyExports, request_export
from gdpr.subjects import InvalidSubject, Subject

FIELDS = {"actorId": "actor_ids", "email": "emails"}
"""Where a problem of a subject's member is shown."""
_PLACE = re.compile(r"subject\.(\w+)(?:\[(\d+)\])?")


class RequestForm(forms.Form):
    company = forms.ModelChoiceField(
        Company.objects.all(),
        widget=CompanySelect(ExportRequest._meta.get_field("company"), admin.site),  # noqa: SLF001
        help_text="Whose events are searched.",
    )
    scope = forms.ChoiceField(
        choices=[("subject", "one person: what names them"), ("company", "the whole company: everything")],
        widget=forms.RadioSelect,
        initial="subject",
    )
    emails = forms.CharField(
        label="E-mail addresses",
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line. Name each under which the person may be known: nothing is found by a guess.",
    )
    actor_ids = forms.CharField(
        label="Actor ids",
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 3}),
        help_text="One a line, capitals and small letters told apart.",
    )
    csv = forms.BooleanField(
        label="Add a table",
        required=False,
        help_text="The events once more as CSV, for a spreadsheet.",
    )

    subject: Subject | None = None
    """Whom a valid form names; None for the whole company."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        sent = {member: _lines(cleaned.get(field, "")) for member, field in FIELDS.items()}
        named = {member: values for member, values in sent.items() if values}
        if cleaned.get("scope") == "company" and named:
            for member in named:
                self.add_error(FIELDS[member], "The whole company was chosen: leave this empty, or choose one person.")
        elif cleaned.get("scope") == "subject":
            self._read(named)
        return cleaned

    def _read(self, named: dict[str, list[str]]) -> None:
        if not named:
            self.add_error("emails", "Name the person: at least one e-mail address or actor id.")
            return
        try:
            self.subject = Subject.read(named)
        except InvalidSubject as error:
            place = _PLACE.fullmatch(error.path)
            member, number = place.groups() if place else (None, None)
            values = named.get(member or "", [])
            value = f"“{values[int(number)]}” " if number and int(number) < len(values) else ""
            self.add_error(FIELDS.get(member or ""), f"{value}{error.rule}.")


class RequestingAdmin(ListedAdmin):
    """Requesting an export, in place of the form that would add a row."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return request.user.has_perm("gdpr.add_exportrequest")

    def add_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = RequestForm(request.POST or None)
        if form.is_valid() and (asked := self._request(request, form)):
            if self.has_view_permission(request):
                return HttpResponseRedirect(reverse("admin:gdpr_exportrequest_change", args=[asked.pk]))
            return HttpResponseRedirect(reverse("admin:index"))
        context = {"title": "Request an export", "opts": self.opts, "form": form, "media": self.media + form.media}
        whole = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/gdpr/exportrequest/request.html", whole)

    def _request(self, request: HttpRequest, form: RequestForm) -> ExportRequest | None:
        """The request, new or under way; None where the form says why there is none."""
        chosen, now = form.cleaned_data, timezone.now()
        try:
            asked, new = request_export(
                company=chosen["company"],
                scope=chosen["scope"],
                subject=form.subject,
                csv=chosen["csv"],
                requested_by=operator(request),
                now=now,
            )
        except TooManyExports as error:
            again = localize(now + error.retry_after)
            told = f"This company has asked for {error.limit} exports within 24 hours, which is the limit. "
            form.add_error(None, f"{told}Another one can be requested from {again} UTC on.")
            return None
        except ChainBusy as error:
            form.add_error(None, str(error))
            return None
        if new:
            self.log_addition(request, asked, "Requested the export.")
            self.message_user(request, "The export was requested. This page shows how far it is.")
        else:
            told = "An export of this scope is already under way: nothing was requested. This is that one."
            self.message_user(request, told, messages.WARNING)
        return asked


def operator(request: HttpRequest) -> str:
    """How what somebody does here is signed."""
    return f"operator {request.user.get_username()}"


def _lines(text: str) -> list[str]:
    return [stripped for line in text.splitlines() if (stripped := line.strip())]
