from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from audit.admin_site import ReadOnlyAdmin
from jobs.admin.paging import BoundedPaginator


class ListedAdmin(ReadOnlyAdmin):
    """A list that stays quick however much it holds: newest first, counted no further than its bound."""

    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by: ClassVar[list[str]] = []
    ordering = ["-pk"]

    @admin.display(description="company")
    def company_name(self, row: Any) -> str:
        """In place of the company, which Django shows as a link, also where that leads nowhere."""
        return str(row.company)


def company_field(request: HttpRequest) -> str:
    """As which field a page shows the company: with a link to it only for those whom it lets in."""
    may_look = any(map(request.user.has_perm, ("audit.view_company", "audit.change_company")))
    return "company" if may_look else "company_name"
