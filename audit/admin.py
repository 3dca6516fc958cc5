from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from audit.admin_site import ReadOnlyAdmin
from audit.models import ApiKey, AuditEvent, ChainHead, Company, IdempotencyRecord, Workspace


class WorkspaceInline(admin.TabularInline[Workspace, Company]):
    model = Workspace
    fields = readonly_fields = ("name", "id", "created_at")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Company | None = None) -> bool:  # noqa: ARG002
        return False


@admin.register(Company)
class CompanyAdmin(admin.ModelAdmin[Company]):
    list_display = ["name", "contact_email", "created_at", "closed_at"]
    list_filter = [("closed_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "contact_email", "id"]
    fields = ["name", "contact_email", "id", "created_at", "closed_at"]
    readonly_fields = ["id", "created_at", "closed_at"]
    inlines = [WorkspaceInline]
    actions = ["close"]

    def has_delete_permission(self, request: HttpRequest, obj: Company | None = None) -> bool:  # noqa: ARG002
        return False  # a company is closed: its chains must stay provable

    def save_model(self, request: HttpRequest, obj: Company, form: Any, change: bool) -> None:  # noqa: ARG002, FBT001
        if change:
            obj.save()
        else:
            obj.save(force_insert=True)
            obj.add_workspace(name="system")

    @admin.action(description="Close: refuse their API keys from now on", permissions=["change"])
    def close(self, request: HttpRequest, companies: QuerySet[Company]) -> None:
        closed = sum(company.close(now=timezone.now()) for company in companies)
        self.message_user(request, f"{closed} companies were closed.")


@admin.register(Workspace)
class WorkspaceAdmin(admin.ModelAdmin[Workspace]):
    list_display = ["name", "company", "id", "events", "created_at"]
    list_filter = ["name"]
    list_select_related = ["company", "chain_head"]
    search_fields = ["name", "company__name", "id"]
    autocomplete_fields = ["company"]

    @admin.display(description="events")
    def events(self, workspace: Workspace) -> int:
        return workspace.chain_head.seq

    def get_readonly_fields(self, request: HttpRequest, obj: Workspace | None = None) -> list[str]:  # noqa: ARG002
        # Its name may be a contract (`system`), its company is in every hash.
        return ["id", "company", "name", "created_at"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Workspace | None = None) -> bool:  # noqa: ARG002
        return False

    def save_model(self, request: HttpRequest, obj: Workspace, form: Any, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        if not change:
            obj.start_chain()


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin[ApiKey]):
    list_display = ["name", "prefix", "company", "workspace", "last_used_at", "expires_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), ("workspace", admin.EmptyFieldListFilter)]
    list_select_related = ["company", "workspace"]
    search_fields = ["name", "prefix", "company__name"]
    autocomplete_fields = ["company", "workspace"]
    fields = ["name", "company", "workspace", "allowed_networks", "expires_at", "revoked_at", "prefix", "last_used_at"]
    actions = ["revoke"]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:  # noqa: ARG002
        fixed = ["revoked_at", "prefix", "last_used_at"]
        return [*fixed, "company", "workspace"] if obj else fixed

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:  # noqa: ARG002
        return False  # a revoked key still says who asked for what

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool) -> None:  # noqa: FBT001
        if change:
            super().save_model(request, obj, form, change)
            return
        issued, plaintext = ApiKey.objects.issue(
            company=obj.company, workspace=obj.workspace, name=obj.name, expires_at=obj.expires_at
        )
        ApiKey.objects.filter(pk=issued.pk).update(allowed_networks=obj.allowed_networks)
        obj.pk, obj.prefix, obj.digest = issued.pk, issued.prefix, issued.digest
        messages.warning(request, f"The key, shown only now: {plaintext}")

    @admin.action(description="Revoke: refuse the keys from now on", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = sum(key.revoke(now=timezone.now()) for key in keys)
        self.message_user(request, f"{revoked} keys were revoked.")


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["recorded_at", "company", "workspace", "seq", "category", "action", "actor_id"]
    list_filter = ["company", "category"]
    list_select_related = ["company", "workspace"]
    search_fields = ["id__exact", "action__startswith"]
    search_help_text = "An event's id, or how its action begins."
    ordering = ["-id"]
    exclude = ["actor_salt", "content_salt"]  # whoever has a salt can guess what an erasure took away

    @admin.display(description="actor")
    def actor_id(self, event: AuditEvent) -> str:
        actor = event.actor or {}
        return str(actor.get("email") or actor.get("id") or "")


@admin.register(ChainHead)
class ChainHeadAdmin(ReadOnlyAdmin):
    list_display = ["workspace", "seq", "hash"]
    list_select_related = ["workspace"]
    search_fields = ["workspace__name", "workspace__company__name"]


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "company", "route", "key", "status"]
    list_filter = ["route"]
    list_select_related = ["company"]
    search_fields = ["key"]
    ordering = ["-created_at"]
