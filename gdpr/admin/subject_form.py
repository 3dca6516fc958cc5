"""The part of a form that says whose data it is about: a company, and a person by addresses and ids, one a line."""

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget

from audit.models import Company
from gdpr.admin.choosing import CompanySelect
from gdpr.models import ExportRequest
from gdpr.subjects import InvalidSubject, Subject

FIELDS = {"actorId": "actor_ids", "email": "emails"}
"""Where a problem of a subject's member is shown."""
_PLACE = re.compile(r"subject\.(\w+)(?:\[(\d+)\])?")


class SubjectForm(forms.Form):
    """About one person of a company."""

    company = forms.ModelChoiceField(
        Company.objects.all(),
        widget=CompanySelect(ExportRequest._meta.get_field("company"), admin.site),  # noqa: SLF001
        help_text="Whose events it is about.",
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

    subject: Subject | None = None
    """Whom a valid form names; None for everybody."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        self._read(self._named(cleaned))
        return cleaned

    def _named(self, cleaned: dict[str, Any]) -> dict[str, list[str]]:
        """The lines of each member that has any."""
        sent = {member: _lines(cleaned.get(field, "")) for member, field in FIELDS.items()}
        return {member: values for member, values in sent.items() if values}

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


class ScopedForm(SubjectForm):
    """About one person, or about the whole company."""

    scope = forms.ChoiceField(
        choices=[("subject", "one person: what names them"), ("company", "the whole company: everything")],
        widget=forms.RadioSelect,
        initial="subject",
    )
    field_order = ("company", "scope", "emails", "actor_ids")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = forms.Form.clean(self) or {}
        named = self._named(cleaned)
        match cleaned.get("scope"):
            case "subject":
                self._read(named)
            case "company":
                for member in named:
                    told = "The whole company was chosen: leave this empty, or choose one person."
                    self.add_error(FIELDS[member], told)
        return cleaned


def _lines(text: str) -> list[str]:
    return [stripped for line in text.splitlines() if (stripped := line.strip())]
