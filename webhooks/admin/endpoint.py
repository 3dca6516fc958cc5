from django.contrib import admin

from audit.admin_site import ReadOnlyAdmin
from webhooks.models import Endpoint, EndpointHour


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
