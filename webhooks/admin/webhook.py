import json
import uuid
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import localize

from jobs import doorbell
from webhooks.backlog import AlreadyRunning, WebhookOff
from webhooks.forms import AUTHENTICATION, WebhookForm
from webhooks.models import Webhook
from webhooks.options import LONGEST_OVERLAP, OVERLAP
from webhooks.planning import LANE
from webhooks.recovering import STATUSES, request_recovery
from webhooks.testing import in_words, send_test

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
HEALTH = ["failures", "failing_since", "last_success", "last_failure", "last_24_hours", "slots"]
"""What the page of a webhook shows and nobody types: about itself, and about its endpoint."""
RECOVERED = timedelta(days=7)
"""How far back the admin recovers; the API and the shell go as far as one likes."""


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
        return [(state, state) for state in ("enabled", "failing", "disabled", "deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if self.value() == "deleted":
            return queryset.filter(deleted_at__isnull=False)
        if self.value() == "failing":
            return queryset.filter(deleted_at=None, disabled_at=None, endpoint__failing_since__isnull=False)
        if self.value() in ("enabled", "disabled"):
            return queryset.filter(deleted_at=None, disabled_at__isnull=self.value() == "enabled")
        return queryset


@admin.register(Webhook)
class WebhookAdmin(admin.ModelAdmin[Webhook]):
    form = WebhookForm
    list_display = ["url", "company", "state", "failures", "last_success", "last_24_hours"]
    list_filter = [StateFilter]
    list_select_related = ["company", "workspace"]
    search_fields = ["url", "description", "company__name", "id"]
    autocomplete_fields = ["company", "workspace"]
    actions = ["send_test", "enable", "disable", "recover", "rotate_secret"]

    @admin.display
    def state(self, webhook: Webhook) -> str:
        if webhook.deleted_at:
            return "deleted"
        if webhook.disabled_at:
            return "disabled"
        return "failing" if webhook.endpoint.failing_since else "enabled"

    @admin.display(description="failures", ordering="endpoint__failures_in_a_row")
    def failures(self, webhook: Webhook) -> int:
        return webhook.endpoint.failures_in_a_row

    @admin.display
    def failing_since(self, webhook: Webhook) -> str:
        return _when(webhook.endpoint.failing_since)

    @admin.display(ordering="endpoint__last_success_at")
    def last_success(self, webhook: Webhook) -> str:
        return _when(webhook.endpoint.last_success_at)

    @admin.display(ordering="endpoint__last_failure_at")
    def last_failure(self, webhook: Webhook) -> str:
        return _when(webhook.endpoint.last_failure_at)

    @admin.display(description="24 h: ok / failed")
    def last_24_hours(self, webhook: Webhook) -> str:
        day = webhook.endpoint.as_json()["last24h"]
        return f"{day['delivered']} / {day['failed']}"

    @admin.display(description="requests at once")
    def slots(self, webhook: Webhook) -> str:
        slots = min(webhook.endpoint.slots, settings.WEBHOOK_MAX_IN_FLIGHT_PER_ENDPOINT)
        return f"{slots} at the most; {'slow, or not known yet' if webhook.endpoint.slow else 'fast'}"

    @admin.display(description="headers")
    def masked_headers(self, webhook: Webhook) -> str:
        return json.dumps(webhook.options_as_json()["headers"])

    @admin.display(description="authentication")
    def masked_authentication(self, webhook: Webhook) -> str:
        return json.dumps(webhook.options_as_json()["authentication"])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Webhook]:  # noqa: ARG002
        return Webhook.objects.with_health().order_by("-pk")

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        what = ["company", "workspace", "url", "events", "categories", "description"]
        # Who may only look is shown the model's own attributes, of which `headers` is in plain.
        changeable = obj is None or self.has_change_permission(request, obj)
        how = ["headers", *AUTHENTICATION] if changeable else ["masked_headers", "masked_authentication"]
        how += ["retry_schedule", "timeout_seconds", "rate_limit"]
        told = [("State", {"fields": TOLD}), ("Health of its endpoint", {"fields": HEALTH})] if obj else []
        return [(None, {"fields": what}), ("Requests", {"fields": how}), *told]

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> list[str]:  # noqa: ARG002
        return ["company", "workspace", *TOLD, *HEALTH] if obj else []

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

    @admin.action(description="Send a test to one webhook", permissions=["change"])
    def send_test(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        chosen = list(webhooks.filter(deleted_at=None)[:2])
        if len(chosen) != 1:
            self.message_user(
                request, "Choose one webhook that is not deleted: a test may take a while.", messages.ERROR
            )
            return
        told = send_test(chosen[0], now=timezone.now())
        self.message_user(request, in_words(told), messages.SUCCESS if told["delivered"] else messages.ERROR)

    @admin.action(description="Recover what was given up or held in the last 7 days", permissions=["change"])
    def recover(self, request: HttpRequest, webhooks: QuerySet[Webhook]) -> None:
        now = timezone.now()
        for webhook in webhooks:
            try:
                job = request_recovery(webhook=webhook, since=now - RECOVERED, until=None, statuses=STATUSES, now=now)
                self.message_user(request, f"Job {job.id} recovers those of {webhook}.")
            except (WebhookOff, AlreadyRunning) as error:
                self.message_user(request, f"Not those of {webhook}: {error}", messages.ERROR)

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


def _when(moment: datetime | None) -> str:
    return localize(moment) if moment else "-"
