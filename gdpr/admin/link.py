from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from audit.models.company import ChainBusy
from gdpr.admin.acting import operator
from gdpr.admin.archive import request_of
from gdpr.admin.filters import CompanyFilter
from gdpr.admin.listing import ListedAdmin
from gdpr.models import DownloadLink


@admin.register(DownloadLink)
class DownloadLinkAdmin(ListedAdmin):
    list_display = ["created_at", "company", "request", "issued_by", "expires_at", "used_at", "revoked_at", "sent"]
    list_filter = [("used_at", admin.EmptyFieldListFilter), ("revoked_at", admin.EmptyFieldListFilter), CompanyFilter]
    list_select_related = ["company", "archive"]
    search_fields = ["id__exact", "archive__id__exact", "archive__job__id__exact"]
    search_help_text = "A link's, an archive's or a job's id."
    actions = ["revoke"]
    fieldsets = [
        (None, {"fields": ["id", "company", "request", "archive"]}),
        ("Issued", {"fields": ["issued_by", "api_key", "created_at", "expires_at", "revoked_at"]}),
        ("Use", {"fields": ["used_at", "sent", "served_until", "held_until"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DownloadLink]:
        links: QuerySet[DownloadLink] = super().get_queryset(request)
        return links.defer("archive__counts", "archive__checkpoint")

    @admin.display
    def request(self, link: DownloadLink) -> SafeString:
        return request_of(link.archive)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("gdpr.change_downloadlink")

    @admin.action(description="Revoke: the links stop working", permissions=["act"])
    def revoke(self, request: HttpRequest, links: QuerySet[DownloadLink]) -> None:
        count = 0
        for link in links.filter(revoked_at=None):
            try:
                count += link.revoke(by=operator(request), now=timezone.now())
            except ChainBusy as error:
                self.message_user(request, f"Not the link {link.pk}: {error}", messages.ERROR)
        self.message_user(request, f"{count} links were revoked.")
