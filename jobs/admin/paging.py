from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

LISTED = 10_000
"""Rows that a list counts, and shows page by page; whoever wants to see others narrows the filters."""


class BoundedPaginator(Paginator[Any]):
    """Counts no further than a person would turn pages: a table may hold millions of rows."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list  # a queryset, in the admin
        count: int = rows.order_by()[:LISTED].count()
        return count
