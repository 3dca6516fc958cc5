from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gdpr.admin import showing
from gdpr.admin.filters import CompanyFilter
from gdpr.admin.listing import ListedAdmin
from gdpr.models import ExportArchive


def request_of(archive: ExportArchive) -> SafeString:
    """The page of the request that an archive answers, where all of it is shown and can be acted on."""
    url = reverse("admin:gdpr_exportrequest_change", args=[archive.job_id])
    return format_html('<a href="{}">{}</a>', url, archive.job_id)


@admin.register(ExportArchive)
class ExportArchiveAdmin(ListedAdmin):
    list_display = ["created_at", "company", "scope", "status", "size", "expires_at", "request"]
    list_filter = ["status", "scope", CompanyFilter]
    list_select_related = ["company"]
    search_fields = ["id__exact", "job__id__exact", "sha256__exact"]
    search_help_text = "An archive's or a job's id, or an archive's SHA-256."
    fieldsets = [
        (None, {"fields": ["id", "company", "request", "scope"]}),
        ("File", {"fields": ["status", "file", "size", "sha256", "created_at", "expires_at", "purging"]}),
        ("Content", {"fields": ["rows_by_table", "checkpoint"]}),
    ]

    class Media:
        css = {"all": ["gdpr/admin.css"]}

    @admin.display
    def request(self, archive: ExportArchive) -> SafeString:
        return request_of(archive)

    @admin.display(description="rows by table")
    def rows_by_table(self, archive: ExportArchive) -> SafeString:
        return showing.table(archive.counts)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        archives: QuerySet[Any] = super().get_queryset(request)
        return archives.defer("counts", "checkpoint")  # a checkpoint names every workspace
