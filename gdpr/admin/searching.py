"""Searching for a person's identifiers without their standing in a URL, where every proxy's log would keep them.

The form is posted, and the list is opened with what was sought encrypted. Ids and nothing else go as they are.
"""

import json
import uuid
from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from audit.encryption import UnreadableSecret, decrypt, encrypt
from gdpr.admin.listing import ListedAdmin

SEARCHED = 100_000
"""The newest rows that match the filters: among these is searched for identifiers and names of companies."""
LONGEST = 300
"""Characters; no identifier is longer."""
PURPOSE = "sought:"
"""Before the term, encrypted with it: no other secret is ever opened for whoever puts it into an address."""


class SoughtList(ChangeList):
    @property
    def sought(self) -> str:
        """What the search box shows."""
        return _opened(self.query)

    @property
    def search_url(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_search")


class SearchedAdmin(ListedAdmin):
    """A list of rows with a `company`, and with the identifiers of a person in `subject`."""

    searched_ids = "The id of a row"
    """What else than a company can be found by its id: the help of the search box begins with it."""
    search_fields = ["pk"]  # what is done with them says get_search_results

    @property
    def search_help_text(self) -> str:  # type: ignore[override]  # Django reads it of the instance
        return (
            f"{self.searched_ids} or of a company; or, among the newest {SEARCHED:,} {self.opts.verbose_name_plural} "
            "that match the filters, a part of an identifier or of a company's name, which the page's address holds "
            "encrypted."
        )

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:  # noqa: ARG002
        return SoughtList

    def search(self, request: HttpRequest) -> HttpResponse:
        """Open the list with what the search box held, beside the filters of the list that it stood on."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = request.GET.copy()
        query.pop(SEARCH_VAR, None)
        if term := request.POST.get(SEARCH_VAR, "").strip().replace("\0", "")[:LONGEST]:
            query[SEARCH_VAR] = str(known) if (known := _uuid(term)) else encrypt(PURPOSE + term)
        listed = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(f"{listed}?{query.urlencode()}")

    def search_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_search"
        return [path("search/", self.admin_site.admin_view(self.search), name=name)]

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        if known := _uuid(search_term):
            return queryset.filter(Q(pk=known) | Q(company=known)), False
        if not (term := _opened(search_term)):
            return queryset.none(), False
        newest = queryset.order_by("-pk").values("pk")[:SEARCHED]
        written = json.dumps(term, ensure_ascii=False)[1:-1]
        named = queryset.alias(text=Cast("subject", TextField()))
        return named.filter(Q(text__icontains=written) | Q(company__name__icontains=term), pk__in=newest), False


def _opened(query: str) -> str:
    """What a list's address asks for; empty for what was not encrypted here."""
    if _uuid(query):
        return query
    try:
        opened = decrypt(query)
    except (UnreadableSecret, ValueError):
        return ""
    return opened.removeprefix(PURPOSE) if opened.startswith(PURPOSE) else ""


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
