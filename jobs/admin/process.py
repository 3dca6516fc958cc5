from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Case, Count, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest
from django.utils.timesince import timesince

from audit.admin_site import ReadOnlyAdmin
from jobs.models import Job, Throttle, Tick, WorkerProcess


@admin.register(WorkerProcess)
class WorkerProcessAdmin(ReadOnlyAdmin):
    list_display = ["host", "pid", "state", "lanes", "patterns", "uptime", "processed", "failed", "active_jobs", "lease_expires_at"]  # fmt: skip  # noqa: E501
    fields = ["host", "pid", "state", "lanes", "patterns", "started_at", "uptime", "processed", "failed", "active_jobs", "lease_expires_at", "id"]  # fmt: skip  # noqa: E501
    search_fields = ["host"]
    ordering = ["host", "pid"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        claimed = Job.objects.filter(status=Job.Status.PROCESSING, claimed_by=OuterRef("pk")).order_by()
        count = claimed.values("claimed_by").annotate(count=Count("pk")).values("count")
        alive = Case(When(lease_expires_at__gt=Now(), then=True), default=False, output_field=BooleanField())
        told = {"claims": Coalesce(Subquery(count), 0), "alive": alive, "clock": Now()}
        processes: QuerySet[Any] = super().get_queryset(request).annotate(**told)
        return processes

    @admin.display(ordering="-lease_expires_at")
    def state(self, process: Any) -> str:
        return "alive" if process.alive else "dead: its lease has run out"

    @admin.display(description="queues")
    def lanes(self, process: WorkerProcess) -> str:
        return ", ".join(process.queues)

    @admin.display(description="types")
    def patterns(self, process: WorkerProcess) -> str:
        return ", ".join(process.types) or "all"

    @admin.display
    def uptime(self, process: Any) -> str:
        """By the database's clock, as the lease is; of a dead one, until its lease ended."""
        until: datetime = process.clock if process.alive else process.lease_expires_at
        return timesince(process.started_at, until)

    @admin.display(description="active jobs")
    def active_jobs(self, process: Any) -> int:
        count: int = process.claims
        return count


@admin.register(Tick)
class TickAdmin(ReadOnlyAdmin):
    list_display = ["name", "slot", "claimed_at"]


@admin.register(Throttle)
class ThrottleAdmin(ReadOnlyAdmin):
    list_display = ["type", "company", "claims", "open_at"]
    search_fields = ["type__exact", "company__exact"]
    search_help_text = "A type, or a company's id."
    ordering = ["type", "company"]
