from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from audit.admin_site import ReadOnlyAdmin
from jobs import doorbell
from webhooks.models import WebhookAttempt, WebhookDelivery
from webhooks.planning import LANE
from webhooks.sending.outcome import Timing


class AttemptInline(admin.TabularInline[WebhookAttempt, WebhookDelivery]):
    model = WebhookAttempt
    verbose_name_plural = "attempts; View shows the request and the answer"
    fields = readonly_fields = ("number", "result", "http_status", "error", "took", "address", "started_at")
    extra = 0
    can_delete = False
    ordering = ["number"]
    show_change_link = True

    @admin.display(description="took")
    def took(self, attempt: WebhookAttempt) -> str:
        return in_words(attempt.timing)

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
    list_display = ["created_at", "webhook", "state", "attempt", "next_attempt_at", "what_happened", "company"]
    list_filter = ["status", DueFilter, "replay", "company"]
    list_select_related = ["company", "webhook"]
    search_fields = ["id__exact", "event__id__exact", "webhook__id__exact", "webhook__url__startswith"]
    search_help_text = "The id of a delivery, an event or a webhook, or how the URL begins."
    ordering = ["-id"]
    fieldsets = [
        (None, {"fields": ["id", "event", "webhook", "company"]}),
        ("State", {"fields": ["state", "next_attempt_at", "attempt", "failures", "replay", "error"]}),
        ("Times", {"fields": ["created_at", "completed_at"]}),
        ("Inside", {"fields": ["envelope_version", "lost_in_a_row", "claimed_by"], "classes": ["collapse"]}),
    ]
    inlines = [AttemptInline]
    actions = ["redeliver", "cancel"]

    @admin.display(ordering="status")
    def state(self, delivery: WebhookDelivery) -> str:
        if delivery.status == WebhookDelivery.Status.FAILED:
            return "retrying" if delivery.next_attempt_at else "given up"
        return delivery.get_status_display()

    @admin.display(description="error")
    def what_happened(self, delivery: WebhookDelivery) -> str:
        """The first sentence; those behind it say what to do."""
        return delivery.error.partition(". ")[0]

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
    list_display = ["started_at", "url", "number", "result", "http_status", "kind", "took", "company"]
    list_filter = ["result", "kind", "company"]
    list_select_related = ["company"]
    search_fields = ["id__exact", "delivery__id__exact"]
    search_help_text = "An attempt's or a delivery's id."
    ordering = ["-id"]
    fieldsets = [
        (None, {"fields": ["delivery", "company", "number", "started_at", "finished_at"]}),
        ("Outcome", {"fields": ["result", "kind", "error", "took", "repeated"]}),
        ("Request", {"fields": ["url", "address", "sent_headers", "body_sha256"]}),
        ("Answer", {"fields": ["http_status", "answered_headers", "answered_body"]}),
    ]

    @admin.display(description="took")
    def took(self, attempt: WebhookAttempt) -> str:
        return in_words(attempt.timing)

    @admin.display(description="headers, credentials masked")
    def sent_headers(self, attempt: WebhookAttempt) -> SafeString:
        return lines(attempt.request_headers)

    @admin.display(description="headers")
    def answered_headers(self, attempt: WebhookAttempt) -> SafeString:
        return lines(attempt.response_headers)

    @admin.display(description="body, up to 16 KiB")
    def answered_body(self, attempt: WebhookAttempt) -> SafeString:
        return format_html('<pre style="margin: 0; white-space: pre-wrap">{}</pre>', attempt.response_body)


def in_words(timing: Mapping[str, float | None]) -> str:
    """How long each stage took to be reached."""
    stages = ((stage.replace("_", " "), timing.get(stage)) for stage in Timing._fields)
    return ", ".join(f"{stage} {at:.1f} ms" for stage, at in stages if at is not None)


def lines(headers: Mapping[str, str]) -> SafeString:
    """Headers as they go over the wire, a line each."""
    return format_html_join(
        "", "<code>{}: {}</code><br>", [(name, headers[name]) for name in sorted(headers, key=str.lower)]
    )
