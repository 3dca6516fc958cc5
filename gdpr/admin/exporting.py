"""What can be done to one export on its page: each by a POST, what cannot be undone after a question."""

import uuid
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.formats import localize

from audit.models.company import ChainBusy
from gdpr.admin.acting import ActingAdmin, operator
from gdpr.admin.showing import archive_of
from gdpr.models import DownloadLink, ExportRequest
from gdpr.models.request import MONTHS_OF_EXTENSION, MOST_REASON
from jobs.admin.acting import CANCEL
from jobs.models import Job

EXTENDED = "only a request without an archive, that is not overdue and was not extended before, can be extended"
EXTEND, CANCEL_ONE = "gdpr.change_exportrequest", "gdpr.change_exportrequest"
LINK, REVOKE, EXPIRE = "gdpr.add_downloadlink", "gdpr.change_downloadlink", "gdpr.change_exportarchive"


class ExtensionForm(forms.Form):
    reason = forms.CharField(
        max_length=MOST_REASON,
        widget=AdminTextareaWidget(attrs={"rows": 4}),
        help_text="Why the request is complex, or which others came with it. The person must be told of the extension, "
        "with this reason, within the first month (GDPR, Art. 12(3)). Name nobody.",
    )


class ExportingAdmin(ActingAdmin):
    def acting_urls(self) -> list[URLPattern]:
        views = {"link": self.make_link, "extend": self.extend, "stop": self.cancel_one, "expire": self.expire}
        routes = [self.button(name, view) for name, view in views.items()]
        return [*routes, self.button("revoke", self.revoke, "<uuid:link>/")]

    def has_change_requests_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CANCEL_ONE)

    def offered(self, request: HttpRequest, asked: ExportRequest, *, now: datetime) -> dict[str, bool]:
        """Which buttons the page has."""
        archive, may = archive_of(asked.job), request.user.has_perm
        ready = archive is not None and archive.downloadable(now=now)
        return {
            "may_link": ready and may(LINK),
            "may_extend": asked.extendable(now=now) and may(EXTEND),
            "may_cancel": asked.job.status in CANCEL.states and may(CANCEL_ONE),
            "may_expire": ready and may(EXPIRE),
            "may_revoke": may(REVOKE),
            "may_see_job": may("jobs.view_job") or may("jobs.change_job"),
        }

    # --- At once ---

    def make_link(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """A link for whoever the archive is for; its address is shown once.

        It is in the answer itself: what is told on the next page lies in the session, in the clear, until then.
        """
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        asked, now = self.find(request, pk, LINK), timezone.now()
        archive = archive_of(asked.job)
        if archive is None or not archive.downloadable(now=now):
            return self.back(request, asked, "There is no archive to download: it is not ready, or has expired.")
        try:
            link, token = DownloadLink.objects.issue(archive=archive, issued_by=operator(request), now=now)
        except ChainBusy as error:
            return self.back(request, asked, str(error))
        self.log_change(request, asked, f"Made the link {link.pk}.")
        url = request.build_absolute_uri(f"/v1/gdpr/downloads/{token}")
        context = self.around(request, asked, title="The link, shown only now", link=link, url=url)
        return TemplateResponse(request, "admin/gdpr/exportrequest/link.html", context)

    def revoke(self, request: HttpRequest, pk: uuid.UUID, link: uuid.UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        asked = self.find(request, pk, REVOKE)
        found = DownloadLink.objects.filter(pk=link, archive__job=asked.pk).first()
        if found is None:
            raise Http404
        try:
            revoked = found.revoke(by=operator(request), now=timezone.now())
        except ChainBusy as error:
            return self.back(request, asked, str(error))
        if not revoked:
            return self.back(request, asked, "Nothing was changed: this link was revoked before.")
        self.log_change(request, asked, f"Revoked the link {link}.")
        return self.back(request, asked, "The link was revoked: it stops working.", messages.SUCCESS)

    def cancel_one(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        asked = self.find(request, pk, CANCEL_ONE)
        if not CANCEL.do(Job.objects.filter(pk=asked.pk), now=timezone.now()):
            return self.back(request, asked, f"Nothing was changed: {CANCEL.otherwise}.")
        self.log_change(request, asked, CANCEL.title)
        return self.back(request, asked, f"Done. {CANCEL.title}.", messages.SUCCESS)

    # --- After a question ---

    def extend(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        asked = self.find(request, pk, EXTEND)
        if not asked.extendable(now=timezone.now()):
            return self.back(request, asked, f"Nothing was changed: {EXTENDED}.")
        form = ExtensionForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            told = f"The answer becomes due {MONTHS_OF_EXTENSION} months later. That can be done once, and not undone."
            return self._ask(request, asked, title="Extend the due date", told=told, button="Extend", form=form)
        try:
            extended = asked.extend(reason=form.cleaned_data["reason"], now=timezone.now())
        except ChainBusy as error:
            return self.back(request, asked, str(error))
        if not extended:
            return self.back(request, asked, f"Nothing was changed: {EXTENDED}.")
        self.log_change(request, asked, "Extended the due date.")
        told = f"The answer is due {localize(asked.due_at)} UTC now. Tell the person, and why."
        return self.back(request, asked, told, messages.SUCCESS)

    def expire(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        asked = self.find(request, pk, EXPIRE)
        if request.method != "POST":
            told = "The archive's file is deleted at once, and its links stop working. What was in it stays on record. "
            told += "A new archive takes a new request."
            return self._ask(request, asked, title="Make the archive expire now", told=told, button="Delete the file")
        archive = archive_of(asked.job)
        by = f"ended by {operator(request)}"
        if archive is None or not archive.expire(now=timezone.now(), reason=by):
            why = "there is no archive, it has expired before, or its file is not at hand on this server"
            return self.back(request, asked, f"Nothing was deleted: {why}.")
        self.log_change(request, asked, "Made the archive expire.")
        if archive.purging:
            told = "The archive has ended: no link serves it. That its file was deleted is not certain yet: HyreLog "
            told += "tries again within ten minutes, and records gdpr.export.purged once it is."
            return self.back(request, asked, told)
        return self.back(request, asked, "The archive's file was deleted.", messages.SUCCESS)

    def _ask(self, request: HttpRequest, asked: ExportRequest, *, told: str, **context: Any) -> HttpResponse:
        due = f"{asked.company}, due {localize(asked.due_at)} UTC. "
        return self.ask(request, asked, told=due + told, **context)
