from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.admin_site import ReadOnlyAdmin
from gdpr.models import DownloadAccess, DownloadLink, ExportArchive, ExportRequest, PrivacyNotice


class LinkInline(admin.TabularInline[DownloadLink, ExportArchive]):
    model = DownloadLink
    fields = readonly_fields = (
        "created_at",
        "issued_by",
        "expires_at",
        "used_at",
        "revoked_at",
        "served_until",
        "sent",
    )
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: ExportArchive | None = None) -> bool:  # noqa: ARG002
        return False


@admin.register(ExportArchive)
class ExportArchiveAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "company", "scope", "status", "size", "expires_at", "job"]
    list_filter = ["status", "company"]
    list_select_related = ["company", "job"]
    search_fields = ["id__exact", "job__id__exact", "sha256__exact"]
    search_help_text = "An archive's or a job's id, or an archive's SHA-256."
    ordering = ["-id"]
    inlines = [LinkInline]


@admin.register(DownloadLink)
class DownloadLinkAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "company", "archive", "issued_by", "expires_at", "used_at", "revoked_at"]
    list_filter = [("used_at", admin.EmptyFieldListFilter), ("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["company", "archive"]
    search_fields = ["id__exact", "archive__id__exact"]
    ordering = ["-id"]
    actions = ["revoke"]
    exclude = ["digest"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("gdpr.change_downloadlink")

    @admin.action(description="Revoke: the links stop working", permissions=["act"])
    def revoke(self, request: HttpRequest, links: QuerySet[DownloadLink]) -> None:
        count = DownloadLink.objects.filter(pk__in=links.values("pk"), revoked_at=None).update(
            revoked_at=timezone.now()
        )
        self.message_user(request, f"{count} links were revoked.")


@admin.register(ExportRequest)
class ExportRequestAdmin(ReadOnlyAdmin):
    list_display = ["job_id", "company", "scope", "created_at", "due_at"]


@admin.register(DownloadAccess)
class DownloadAccessAdmin(ReadOnlyAdmin):
    list_display = ["at", "company", "address", "sent"]


@admin.register(PrivacyNotice)
class PrivacyNoticeAdmin(admin.ModelAdmin[PrivacyNotice]):
    list_display = ["company", "updated_at"]
