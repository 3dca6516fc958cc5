from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from gdpr.admin.listing import ListedAdmin


class AddingAdmin(ListedAdmin):
    """Adding a row by what HyreLog does for that, in place of the form that would write it."""

    adding_form: type[forms.Form]
    adding_title = ""

    def add(self, request: HttpRequest, form: Any) -> Any:
        """The row that a valid form asks for; None where the form says now why there is none."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return request.user.has_perm(f"{self.opts.app_label}.add_{self.opts.model_name}")

    def add_view(self, request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.adding_form(request.POST or None)
        if form.is_valid() and (row := self.add(request, form)):
            if self.has_view_permission(request):
                name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
                return HttpResponseRedirect(reverse(name, args=[row.pk]))
            return HttpResponseRedirect(reverse("admin:index"))
        context = {"title": self.adding_title, "opts": self.opts, "form": form, "media": self.media + form.media}
        whole = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/gdpr/add.html", whole)
