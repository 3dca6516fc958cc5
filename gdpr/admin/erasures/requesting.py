from django import forms
from django.contrib import messages
from django.contrib.admin.widgets import AdminTextareaWidget
from django.http import HttpRequest
from django.utils import timezone

from audit.models.company import ChainBusy
from gdpr.admin.acting import operator
from gdpr.admin.adding import AddingAdmin
from gdpr.admin.subject_form import SubjectForm
from gdpr.erasures.reasons import InvalidReason
from gdpr.erasures.requesting import TooManyErasures, request_erasure
from gdpr.models import Erasure
from gdpr.models.erasure import MOST_REASON
from gdpr.subjects import InvalidSubject


class ErasureForm(SubjectForm):
    reason = forms.CharField(
        max_length=MOST_REASON,
        widget=AdminTextareaWidget(attrs={"rows": 4}),
        help_text="For those who approve it: who asked for it, when, and on which ground (GDPR, Art. 17(1)). It stays "
        "on record when the person is forgotten: name nobody.",
    )


class RequestingAdmin(AddingAdmin):
    adding_form = ErasureForm
    adding_title = "Request an erasure"

    def add(self, request: HttpRequest, form: ErasureForm) -> Erasure | None:
        """The request, new or open already."""
        chosen = form.cleaned_data
        assert form.subject is not None  # noqa: S101  a valid form names somebody
        try:
            asked, new = request_erasure(
                company=chosen["company"],
                subject=form.subject,
                reason=chosen["reason"],
                requested_by=operator(request),
                now=timezone.now(),
            )
        except InvalidSubject as error:
            form.add_error("actor_ids", f"{error.rule}.")
            return None
        except InvalidReason as error:
            form.add_error("reason", str(error))
            return None
        except (TooManyErasures, ChainBusy) as error:
            form.add_error(None, str(error))
            return None
        if new:
            self.log_addition(request, asked, "Requested the erasure.")
            self.message_user(request, "The erasure was requested. What it would erase is being counted.")
        else:
            before = "has failed" if asked.status == Erasure.Status.FAILED else "is open already"
            told = f"An erasure of these identifiers {before}: nothing was requested. This is that one."
            self.message_user(request, told, messages.WARNING)
        return asked
