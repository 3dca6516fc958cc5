from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.admin_site import ReadOnlyAdmin
from audit.canonical import UncanonicalValue, check
from jobs import doorbell
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery
from webhooks.planning import LANE
from webhooks.sending.addresses import BlockedAddress
from webhooks.tasks import address_policy


def validate_patterns(patterns: object) -> None:
    """Raises ValidationError unless `patterns` is a list of non-empty texts."""
    if not isinstance(patterns, list) or not patterns or not all(isinstance(p, str) and p for p in patterns):
        raise ValidationError('Write a list of patterns, such as ["user.*"] or ["*"] for all.')
    try:
        check(patterns, "patterns")
    except UncanonicalValue as error:
        raise ValidationError(str(error)) from None


TOLD = ["id", "state", "disabled_at", "disabled_reason", "deleted_at", "created_at"]
"""What the page of a webhook shows and nobody types."""


class WebhookForm(forms.ModelForm[Webhook]):
    events = forms.JSONField(initial=["*"], validators=[validate_patterns], help_text='Patterns, such as ["user.*"].')
    categories = forms.JSONField(initial=["*"], validators=[validate_patterns], help_text='["*"] for all.')

    class Meta:
        model = Webhook
        fields = ["company", "workspace", "url", "events", "categories", "description"]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            address_policy().check_url(url)
        except BlockedAddress as error:
            raise ValidationError(str(error).removeprefix("url: ")) from None
        return url

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        company = cleaned.get("company") or (self.instance.company if self.instance.company_id else None)
        workspace = cleaned.get("workspace")
        if company and workspace and workspace.company_id != company.pk:
            raise ValidationError({"workspace": "The workspace belongs to another company."})
        return cleaned


@admin.register(Webhook)
class WebhookAdmin(admin.ModelAdmin[Webhook]):
    form = WebhookForm
    list_display = ["url", "company", "workspace", "state", "disabled_reason", "created_at"]
    list_filter = [("disabled_at", admin.EmptyFieldListFilter), ("deleted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["company", "workspace"]
    search_fields = ["url", "company__name", "id"]
    autocomplete_fields = ["company", "workspace"]
    actions = ["enable", "disable"]

    @admin.display
    def state(self, webhook: Webhook) -> str:
        return "deleted" if webhook.deleted_at else "enabled" if webhook.enabled else "disabled"

    def get_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:  # noqa: ARG002
        return [*WebhookForm.Meta.fields, *TOLD] if obj else WebhookForm.Meta.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> list[str]:  # noqa: ARG002
        return ["company", "workspace", *TOLD] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:  # noqa: ARG002
        return False  # its deliveries are a log; the API ends a webhook and keeps them

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001
        if change:
            super().save_model(request, obj, form, change)
            return
        made, secret = Webhook.objects.register(
            company=obj.company,
            workspace=obj.workspace,
            url=obj.url,
            events=obj.events,
            categories=obj.categories,
            description=obj.description,
        )
        obj.pk, obj.encrypted_secret = made.pk, made.encrypted_secret
        messages.warning(request, f"The signing secret, shown only now: {secret}")

    @admin.action(description="Enable: deliver again, and recover what was held", permissions=["change"])
    def enable(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        recovered = [webhook.enable(now=timezone.now(), recover=True) for webhook in webhooks.select_related("company")]
        enabled = [count for count in recovered if count is not None]
        doorbell.ring_on_commit(LANE)
        self.message_user(request, f"{len(enabled)} webhooks were enabled; {sum(enabled)} held deliveries become due.")

    @admin.action(description="Disable: hold their deliveries", permissions=["change"])
    def disable(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        now, reason = timezone.now(), f"disabled in the admin by {request.user}"
        disabled = sum(webhook.disable(reason=reason, now=now) for webhook in webhooks.select_related("company"))
        self.message_user(request, f"{disabled} webhooks were disabled; what comes up for them is held.")


class AttemptInline(admin.TabularInline[WebhookAttempt, WebhookDelivery]):
    model = WebhookAttempt
    fields = readonly_fields = (
        "number",
        "result",
        "http_status",
        "kind",
        "error",
        "address",
        "started_at",
        "finished_at",
    )
    extra = 0
    can_delete = False
    ordering = ["number"]
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: WebhookDelivery | None = None) -> bool:  # noqa: ARG002
        return False


class DueFilter(admin.SimpleListFilter):
    """Failed ones that will be tried again, apart from those that were given up."""

    title, parameter_name = "due", "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("again", "will be attempted"), ("never", "at rest")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if self.value() in ("again", "never"):
            return queryset.filter(next_attempt_at__isnull=self.value() == "never")
        return queryset


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "webhook", "status", "attempt", "error", "next_attempt_at", "company"]
    list_filter = ["status", DueFilter, "company"]
    list_select_related = ["company", "webhook"]
    search_fields = ["id__exact", "event__id__exact", "webhook__url__startswith"]
    search_help_text = "A delivery's or an event's id, or how the URL begins."
    ordering = ["-id"]
    inlines = [AttemptInline]
    actions = ["redeliver", "cancel"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_webhookdelivery")

    @admin.action(description="Redeliver: begin a new round of attempts", permissions=["act"])
    def redeliver(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        count = WebhookDelivery.objects.filter(pk__in=deliveries.values("pk")).redeliver(now=timezone.now())
        doorbell.ring_on_commit(LANE)
        self.message_user(
            request, f"{count} deliveries are due again; those that wait, are on the wire or are held were left."
        )

    @admin.action(description="Cancel: attempt no more", permissions=["act"])
    def cancel(self, request: HttpRequest, deliveries: QuerySet[WebhookDelivery]) -> None:
        count = WebhookDelivery.objects.filter(pk__in=deliveries.values("pk")).cancel()
        self.message_user(request, f"{count} deliveries were cancelled; those at rest or on the wire were left.")


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(ReadOnlyAdmin):
    list_display = ["started_at", "url", "number", "result", "http_status", "kind", "error", "company"]
    list_filter = ["result", "kind", "company"]
    list_select_related = ["company"]
    search_fields = ["id__exact", "delivery__id__exact"]
    search_help_text = "An attempt's or a delivery's id."
    ordering = ["-id"]
