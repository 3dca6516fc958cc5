from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget
from django.http import HttpRequest

from gdpr.admin.choosing import CompanySelect
from gdpr.models import PrivacyNotice
from gdpr.models.privacy_notice import TEXTS


class PrivacyNoticeForm(forms.ModelForm[PrivacyNotice]):
    class Meta:
        model = PrivacyNotice
        fields = ["company", *TEXTS]
        widgets: ClassVar[dict[str, Any]] = {
            "company": CompanySelect(PrivacyNotice._meta.get_field("company"), admin.site),  # noqa: SLF001
            **dict.fromkeys(TEXTS, AdminTextareaWidget(attrs={"rows": 4})),
        }
        help_texts = {
            "company": "Whose exports say this. Each company has one notice.",
            "controller": "Who decides why and how the events are processed: name, legal form and postal address, also "
            "of a representative in the Union if there is one (GDPR, Art. 13(1)(a)).",
            "contact": "Whom the person may ask: the data protection officer's postal and e-mail address "
            "(Art. 13(1)(b)).",
            "purposes": "Why the events are recorded, and on which legal basis: for instance, to detect abuse of "
            "accounts, Art. 6(1)(f), with the interest that is pursued (Art. 15(1)(a)).",
            "sources": "Where the data comes from, so far as it is not from the person: a directory of staff, say "
            "(Art. 15(1)(g)).",
            "retention": "For how long the events are kept, or what decides that, in addition to what HyreLog itself "
            "states of each table (Art. 15(1)(d)).",
            "recipients": "To whom you give data, by name: a support desk, an auditor. Webhooks, requests of jobs and "
            "the operator of HyreLog are listed by themselves (Art. 15(1)(c)).",
            "transfers": "To which countries outside the Union data goes, and by which safeguards: an adequacy "
            "decision, standard contractual clauses; or that it does not (Art. 15(2)).",
            "automated_decisions": "Whether decisions are made or profiles built by machine alone; if so by which "
            "logic, and with what consequences; or that there are none (Art. 15(1)(h)).",
        }


@admin.register(PrivacyNotice)
class PrivacyNoticeAdmin(admin.ModelAdmin[PrivacyNotice]):
    """What stands here goes into each archive that is made from then on; archives that are made stay as they are."""

    form = PrivacyNoticeForm
    list_display = ["company", "filled_in", "updated_at"]
    list_select_related = ["company"]
    search_fields = ["company__name"]
    search_help_text = "A part of a company's name."
    ordering = ["company__name", "pk"]

    @admin.display(description="filled in")
    def filled_in(self, notice: PrivacyNotice) -> str:
        return ", ".join(part.replace("_", " ") for part in TEXTS if getattr(notice, part)) or "nothing yet"

    def get_fieldsets(self, request: HttpRequest, obj: PrivacyNotice | None = None) -> Any:  # noqa: ARG002
        about = "Written for the people in the events: it stands in every archive that is made from now on. What is "
        about += "left empty is said there in general words."
        who = {"fields": ["company", "controller", "contact"], "description": about}
        how = {"fields": [name for name in TEXTS if name not in ("controller", "contact")]}
        told = [("State", {"fields": ["updated_at"]})] if obj else []
        return [("Who", who), ("What is processed", how), *told]

    def get_readonly_fields(self, request: HttpRequest, obj: PrivacyNotice | None = None) -> list[str]:  # noqa: ARG002
        return ["company", "updated_at"] if obj else []  # its company is its identity
