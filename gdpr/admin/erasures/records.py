"""What else is kept of erasures, in lists of their own: who approved which, and what they replaced beside events."""

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gdpr.admin.filters import CompanyFilter
from gdpr.admin.listing import ListedAdmin
from gdpr.models import ErasedRow, ErasureApproval


class _OfErasure(ListedAdmin):
    list_filter = [CompanyFilter]
    list_select_related = ["company"]
    search_fields = ["erasure__id__exact"]
    search_help_text = "The id of an erasure."

    @admin.display(description="erasure")
    def of(self, row: ErasureApproval | ErasedRow) -> SafeString:
        """A link to the page of the erasure, where all of it is shown."""
        url = reverse("admin:gdpr_erasure_change", args=[row.erasure_id])
        return format_html('<a href="{}">{}</a>', url, row.erasure_id)


@admin.register(ErasureApproval)
class ErasureApprovalAdmin(_OfErasure):
    list_display = ["at", "company", "of", "approved_by"]
    fields = ["id", "company", "of", "approved_by", "user_id", "at"]


@admin.register(ErasedRow)
class ErasedRowAdmin(_OfErasure):
    list_display = ["id", "company", "of", "table", "key"]
    fields = ["id", "company", "of", "table", "key", "replaced"]
