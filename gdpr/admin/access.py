from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from gdpr.admin.archive import request_of
from gdpr.admin.filters import CompanyFilter
from gdpr.admin.listing import ListedAdmin
from gdpr.models import DownloadAccess


class RefusedFilter(admin.SimpleListFilter):
    title, parameter_name = "outcome", "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("served", "served"), ("refused", "refused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        match self.value():
            case "served":
                return queryset.filter(refusal="")
            case "refused":
                return queryset.exclude(refusal="")
        return queryset


@admin.register(DownloadAccess)
class DownloadAccessAdmin(ListedAdmin):
    list_display = ["at", "company", "request", "address", "user_agent", "sent", "refusal"]
    list_filter = [RefusedFilter, CompanyFilter]
    list_select_related = ["company", "link__archive"]
    search_fields = ["id__exact", "link__id__exact", "link__archive__id__exact", "link__archive__job__id__exact"]
    search_help_text = "The id of an access, of a link, of an archive or of a job."
    fieldsets = [
        (None, {"fields": ["id", "company", "request", "link", "at"]}),
        ("From where", {"fields": ["address", "user_agent"]}),
        ("What", {"fields": ["start", "end", "sent", "refusal"]}),
    ]

    @admin.display
    def request(self, access: DownloadAccess) -> SafeString:
        return request_of(access.link.archive)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        accesses: QuerySet[Any] = super().get_queryset(request)
        return accesses.defer("link__archive__counts", "link__archive__checkpoint")
