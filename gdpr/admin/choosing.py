"""Choosing a company in the forms of this app, for whom its permissions suffice: they learn names and ids, no more."""

import re
import uuid
from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, JsonResponse
from django.urls import reverse

from audit.models import Company

OFFERED = 20
"""Companies on a page of the box."""
LAST_PAGE = 50
CHOOSERS = (
    "audit.view_company",
    "gdpr.add_exportrequest",
    "gdpr.add_privacynotice",
    "gdpr.add_erasure",
    "gdpr.add_legalhold",
)
"""Any of these permissions will do."""
_PAGE = re.compile("[1-9][0-9]{0,3}")


class CompanySelect(AutocompleteSelect):
    """It is filled in by whoever types; what is no id is nothing chosen."""

    def get_url(self) -> str:
        return reverse("admin:gdpr_exportrequest_companies")

    def value_from_datadict(self, *args: Any) -> str | None:
        return _id(super().value_from_datadict(*args))


def companies(request: HttpRequest) -> JsonResponse:
    """What the box offers, as its script reads it: companies with the term in their names, or with it as their id."""
    if not any(request.user.has_perm(permission) for permission in CHOOSERS):
        raise PermissionDenied
    term, page = request.GET.get("term", "").replace("\0", ""), request.GET.get("page", "")
    number = min(int(page), LAST_PAGE) if _PAGE.fullmatch(page) else 1
    named = Q(name__icontains=term)
    if known := _id(term):
        named |= Q(pk=known)
    before = (number - 1) * OFFERED
    found = list(Company.objects.filter(named).order_by("name", "pk")[before : before + OFFERED + 1])
    results = [{"id": str(company.pk), "text": str(company)} for company in found[:OFFERED]]
    more = len(found) > OFFERED and number < LAST_PAGE
    return JsonResponse({"results": results, "pagination": {"more": more}})


def _id(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text or ""))
    except ValueError:
        return None
