from typing import ClassVar

from django.contrib import admin

from audit.admin_site import ReadOnlyAdmin
from jobs.admin.paging import BoundedPaginator


class ListedAdmin(ReadOnlyAdmin):
    """A list that stays quick however much it holds: newest first, counted no further than its bound."""

    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by: ClassVar[list[str]] = []
    ordering = ["-pk"]
