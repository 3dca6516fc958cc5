import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from audit.admin_site import ReadOnlyAdmin
from jobs import doorbell
from webhooks.forms import AUTHENTICATION, WebhookForm
from webhooks.models import Endpoint, EndpointHour, Webhook, WebhookAttempt, WebhookDelivery
from webhooks.options import LONGEST_OVERLAP, OVERLAP
from webhooks.planning import LANE

TOLD = [
    "id",
    "state",
    "disabled_at",
    "disabled_reason",
    "held_before",
    "previous_secret_until",
    "deleted_at",
    "created_at",
]
"""What the page of a webhook shows and nobody types."""


class RotationForm(forms.Form):
    overlap_hours = forms.IntegerField(
        min_value=0,
        max_value=LONGEST_OVERLAP,
        initial=OVERLAP,
        label="Overlap in hours",
        help_text="For so long requests are signed with the previous secret too. 0: it ends at once.",
    )


class StateFilter(admin.SimpleListFilter):
    title = parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(state, state) for state in ("enabled", "disabled", "deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if self.value() == "deleted":
            return queryset.filter(deleted_at__isnull=False)
        if self.value() in ("enabled", "disabled"):
            return queryset.filter(deleted_at=None, disabled_at__isnull=self.value() == "enabled")
        return queryset


@admin.register(Webhook)
class WebhookAdmin(admin.ModelAdmin[Webhook]):
    form = WebhookForm
    list_display = ["url", "company", "workspace", "state", "last_success", "failures"]
    list_filter = [StateFilter]
    list_select_related = ["company", "workspace", "endpoint"]
    search_fields = ["url", "description", "company__name", "id"]
    autocomplete_fields = ["company", "workspace"]
    actions = ["enable", "disable", "rotate_secret"]

    @admin.display
    def state(self, webhook: Webhook) -> str:
        return "deleted" if webhook.deleted_at else "enabled" if webhook.enabled else "disabled"

    @admin.display(ordering="endpoint__last_success_at")
    def last_success(self, webhook: Webhook) -> datetime | None:
        return webhook.endpoint.last_success_at

    @admin.display(ordering="endpoint__failures_in_a_row")
    def failures(self, webhook: Webhook) -> int:
        return webhook.endpoint.failures_in_a_row

    @admin.display(description="headers")
    def masked_headers(self, webhook: Webhook) -> str:
        return json.dumps(webhook.options_as_json()["headers"])

    @admin.display(description="authentication")
    def masked_authentication(self, webhook: Webhook) -> str:
        return json.dumps(webhook.options_as_json()["authentication"])

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        what = ["company", "workspace", "url", "events", "categories", "description"]
        # Who may only look is shown the model's own attributes, of which `headers` is in plain.
        changeable = obj is None or self.has_change_permission(request, obj)
        how = ["headers", *AUTHENTICATION] if changeable else ["masked_headers", "masked_authentication"]
        how += ["retry_schedule", "timeout_seconds", "rate_limit"]
        told = [("State", {"fields": TOLD})] if obj else []
        return [(None, {"fields": what}), ("Requests", {"fields": how}), *told]

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> list[str]:  # noqa: ARG002
        return ["company", "workspace", *TOLD] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Webhook | None = None) -> bool:  # noqa: ARG002
        return False  # its deliveries are a log; the API ends a webhook and keeps them

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rotate)
        return [path("<uuid:pk>/rotate-secret/", view, name="webhooks_webhook_rotate_secret"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:  # noqa: FBT001
        if change:
            obj.change(**form.chosen)  # and nothing else: a worker may be disabling it just now
            return
        made, secret = Webhook.objects.register(company=obj.company, workspace=obj.workspace, **form.chosen)
        obj.pk, obj.encrypted_secret = made.pk, made.encrypted_secret
        messages.warning(request, f"The signing secret, shown only now: {secret}")

    def rotate(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Ask for the overlap, then replace the secret and show the new one."""
        webhook = self.get_object(request, str(pk))
        if webhook is None:
            raise Http404
        if not self.has_change_permission(request, webhook):
            raise PermissionDenied
        form = RotationForm(request.POST or None)
        if form.is_valid():
            overlap = timedelta(hours=form.cleaned_data["overlap_hours"])
            secret = webhook.rotate_secret(now=timezone.now(), overlap=overlap)
            if secret is None:
                raise Http404
            self.log_change(request, webhook, "Rotated the secret.")
            messages.warning(request, f"The new signing secret, shown only now: {secret}")
            return HttpResponseRedirect(reverse("admin:webhooks_webhook_change", args=[pk]))
        context = {"title": "Rotate the secret", "opts": self.opts, "original": webhook, "form": form}
        whole = {**self.admin_site.each_context(request), **context}
        return TemplateResponse(request, "admin/webhooks/webhook/rotate_secret.html", whole)

    @admin.action(description="Rotate the secret of one webhook", permissions=["change"])
    def rotate_secret(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> HttpResponse | None:
        if webhooks.count() == 1:
            return HttpResponseRedirect(reverse("admin:webhooks_webhook_rotate_secret", args=[webhooks.get().pk]))
        self.message_user(request, "Choose one webhook: each secret is shown by itself.", messages.ERROR)
        return None

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


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    list_display = ["webhook", "slots", "slow", "failures_in_a_row", "last_success_at", "last_failure_at"]
    list_filter = ["slow", ("failing_since", admin.EmptyFieldListFilter)]
    list_select_related = ["webhook"]
    search_fields = ["webhook__id__exact", "webhook__url__startswith"]
    search_help_text = "A webhook's id, or how its URL begins."


@admin.register(EndpointHour)
class EndpointHourAdmin(ReadOnlyAdmin):
    list_display = ["hour", "endpoint", "delivered", "failed"]
    search_fields = ["endpoint__webhook__id__exact"]
    search_help_text = "A webhook's id."
    ordering = ["-hour"]


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
