from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import localize

from audit.models.company import ChainBusy
from gdpr.admin.acting import operator
from gdpr.admin.adding import AddingAdmin
from gdpr.admin.subject_form import ScopedForm
from gdpr.models import ExportRequest
from gdpr.requesting import TooManyExports, request_export


class RequestForm(ScopedForm):
    csv = forms.BooleanField(
        label="Add a table",
        required=False,
        help_text="The events once more as CSV, for a spreadsheet.",
    )


class RequestingAdmin(AddingAdmin):
    adding_form = RequestForm
    adding_title = "Request an export"

    def add(self, request: HttpRequest, form: RequestForm) -> ExportRequest | None:
        """The request, new or under way."""
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
