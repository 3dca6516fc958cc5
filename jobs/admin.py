from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit.admin_site import ReadOnlyAdmin
from jobs import doorbell
from jobs.models import Job, Tick, WorkerProcess


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "type", "status", "percent", "step", "attempts", "error", "run_at", "company"]
    list_filter = ["status", "type", "queue"]
    list_select_related = ["company"]
    search_fields = ["id__exact", "key__exact"]
    search_help_text = "A job's id or key."
    ordering = ["-id"]
    actions = ["retry", "cancel"]

    @admin.display(description="progress")
    def percent(self, job: Job) -> str:
        return f"{job.progress:.0%}"

    @admin.display(description="attempts")
    def attempts(self, job: Job) -> str:
        return f"{job.attempt}/{job.max_attempts}"

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_job")

    @admin.action(description="Retry: a fresh round of attempts", permissions=["act"])
    def retry(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        chosen = Job.objects.filter(pk__in=jobs.values("pk"))
        queues = set(chosen.values_list("queue", flat=True))
        count = chosen.retry(now=timezone.now())
        for queue in queues:
            doorbell.ring_on_commit(queue)
        self.message_user(request, f"{count} jobs are due again; only failed and cancelled ones can be retried.")

    @admin.action(description="Cancel: waiting ones at once, running ones are asked to stop", permissions=["act"])
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        count = Job.objects.filter(pk__in=jobs.values("pk")).cancel(now=timezone.now())
        self.message_user(request, f"{count} jobs were cancelled or asked to stop.")


@admin.register(WorkerProcess)
class WorkerProcessAdmin(ReadOnlyAdmin):
    list_display = ["host", "pid", "queues", "started_at", "lease_expires_at"]
    search_fields = ["host"]
    ordering = ["host", "pid"]


@admin.register(Tick)
class TickAdmin(ReadOnlyAdmin):
    list_display = ["name", "slot", "claimed_at"]
