"""What can be done to one erasure on its page: to approve or to reject it, and to have it counted again."""

import uuid
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern
from django.utils import timezone

from audit.models.company import ChainBusy
from gdpr.admin.acting import ActingAdmin, operator
from gdpr.admin.erasures.page import foreseen
from gdpr.admin.erasures.showing import work_of
from gdpr.admin.showing import person
from gdpr.erasures import deciding
from gdpr.erasures.deciding import AlreadyApproved, Held, NoPreview, NotDecidable
from gdpr.erasures.reasons import InvalidReason
from gdpr.erasures.requesting import again
from gdpr.models import Erasure
from gdpr.models.erasure import APPROVALS, MOST_REASON, Status

DECIDE = "gdpr.approve_erasure"
COUNT = (DECIDE, "gdpr.add_erasure")
"""Any of these permissions will do."""
Refusal = (NotDecidable, NoPreview, AlreadyApproved, Held)
"""Why somebody cannot approve an erasure now."""


class RejectionForm(forms.Form):
    reason = forms.CharField(
        max_length=MOST_REASON,
        widget=AdminTextareaWidget(attrs={"rows": 4}),
        help_text="Why the person is not erased: GDPR, Art. 17(3), say. They must be told of it within a month, and "
        "that they may complain (Art. 12(4)). It stays on record: name nobody.",
    )


class DecidingAdmin(ActingAdmin):
    def acting_urls(self) -> list[URLPattern]:
        views = {"approve": self.approve, "reject": self.reject, "count": self.count}
        return [self.button(name, view) for name, view in views.items()]

    def offered(self, request: HttpRequest, asked: Any) -> dict[str, Any]:
        """Which buttons the page has, and why not that one which approves."""
        may, work = request.user.has_perm, work_of(asked)
        undecided, counting = asked.status == Status.REQUESTED, bool(work and work.is_active)
        refusal = _refusal(asked, request) if undecided and may(DECIDE) else None
        return {
            "may_approve": undecided and refusal is None and may(DECIDE),
            "refusal": refusal if not isinstance(refusal, Held) else None,  # the page shows the hold itself
            "may_reject": asked.status in (Status.REQUESTED, Status.APPROVED) and may(DECIDE),
            "may_count": undecided and not counting and any(map(may, COUNT)),
            "may_see_job": asked.job_id is not None and (may("jobs.view_job") or may("jobs.change_job")),
            "may_see_hold": may("gdpr.view_legalhold") or may("gdpr.change_legalhold"),
        }

    def approve(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """It asks once more: whoever has pressed the button sees what cannot be undone, and does it there."""
        asked = self.find(request, pk, DECIDE)
        if refusal := _refusal(asked, request):
            return self.back(request, asked, f"Nothing was approved. {refusal}")
        if request.method != "POST":
            context = {
                "title": "Approve the erasure",
                "button": "Approve: erase this person",
                "person": person(asked.subject),
                "approvals": asked.approvals.order_by("at"),
                "last": asked.approved + 1 >= APPROVALS,
                "may_count": any(map(request.user.has_perm, COUNT)),
                **foreseen(asked),
            }
            return self.ask(request, asked, template="admin/gdpr/erasure/approve.html", **context)
        try:
            deciding.approve(asked, user_id=_account(request), approved_by=operator(request), now=timezone.now())
        except (*Refusal, ChainBusy) as error:
            return self.back(request, asked, f"Nothing was approved. {error}")
        self.log_change(request, asked, "Approved the erasure.")
        told = "Your approval is on record. "
        if asked.status == Status.REQUESTED:
            told += "Another person has to approve it, too, with an account of their own: nothing is erased before."
        else:
            told += f"{APPROVALS} people have approved it: it is erased now. This page shows how far it is."
        return self.back(request, asked, told, messages.SUCCESS)

    def reject(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        asked = self.find(request, pk, DECIDE)
        if asked.status not in (Status.REQUESTED, Status.APPROVED):
            return self.back(request, asked, f"Nothing was rejected. {NotDecidable(asked)}")
        form = RejectionForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                deciding.reject(
                    asked, rejected_by=operator(request), reason=form.cleaned_data["reason"], now=timezone.now()
                )
            except (NotDecidable, ChainBusy) as error:
                return self.back(request, asked, f"Nothing was rejected. {error}")
            except InvalidReason as error:
                form.add_error("reason", str(error))
            else:
                self.log_change(request, asked, "Rejected the erasure.")
                told = "The erasure was rejected. Tell the person, and why."
                return self.back(request, asked, told, messages.SUCCESS)
        told = "Nothing is erased then. That cannot be undone: to erase the person after all takes a new request."
        return self.ask(request, asked, title="Reject the erasure", button="Reject", told=told, form=form)

    def count(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        asked = self.find(request, pk, *COUNT)
        if not again(asked, now=timezone.now()):
            told = "Nothing was changed: it is being counted, or is not to be decided any more."
            return self.back(request, asked, told)
        self.log_change(request, asked, "Had it counted again.")
        return self.back(request, asked, "What would be erased is being counted again.", messages.SUCCESS)


def _refusal(asked: Erasure, request: HttpRequest) -> Exception | None:
    """Why whoever is signed in cannot approve it now."""
    try:
        deciding.check(asked, user_id=_account(request))
    except Refusal as refusal:
        return refusal
    return None


def _account(request: HttpRequest) -> int:
    number: int = request.user.pk  # type: ignore[assignment]  # the admin lets nobody in who has no account
    return number
