"""What the buttons on the page of one row have in common: who may, what is asked first, where they lead back to."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from gdpr.admin.listing import ListedAdmin


class ActingAdmin(ListedAdmin):
    def button(self, name: str, view: Callable[..., HttpResponse], route: str = "") -> URLPattern:
        """The address of what is done to one row; `route` stands behind the name."""
        return path(f"<uuid:pk>/{name}/{route}", self.admin_site.admin_view(view), name=self._view_name(name))

    def find(self, request: HttpRequest, pk: uuid.UUID, *permissions: str) -> Any:
        """The row, for somebody who may look at it and has any of the permissions.

        Raises PermissionDenied and Http404, which Django answers with.
        """
        if not self.has_view_permission(request) or not any(map(request.user.has_perm, permissions)):
            raise PermissionDenied
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        return row

    def ask(
        self, request: HttpRequest, row: Any, *, template: str = "admin/gdpr/ask.html", **context: Any
    ) -> HttpResponse:
        """A question before what cannot be undone: `title`, what is `told`, the `button`, perhaps a `form`."""
        return TemplateResponse(request, template, self.around(request, row, **context))

    def around(self, request: HttpRequest, row: Any, **context: Any) -> dict[str, Any]:
        """What the template of a page beneath that of a row needs."""
        known = {"opts": self.opts, "original": row, "media": self.media}
        return {**self.admin_site.each_context(request), **known, **context}

    def back(self, request: HttpRequest, row: Any, told: str, level: int = messages.WARNING) -> HttpResponse:
        self.message_user(request, told, level)
        return HttpResponseRedirect(reverse(f"admin:{self._view_name('change')}", args=[row.pk]))

    def _view_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"


def operator(request: HttpRequest) -> str:
    """How what somebody does here is signed."""
    return f"operator {request.user.get_username()}"
