from functools import partial

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

QUEUES = ("jobs", "exports")


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from audit.personal_data import cover, exclude
        from jobs import due, events, lanes, models, publishing, rescuing, worker  # noqa: F401  the worker's signals connect

        for queue in QUEUES:
            lanes.register(
                lanes.Lane(
                    name=queue,
                    task="jobs.work",
                    queue=queue,
                    next_due=partial(due.next_due, queue),
                    rescue=partial(rescuing.rescue, queue),
                )
            )
        events.on_event(publishing.publish)
        program_text, token = "HyreLog's own program text", "names no person"
        cover(
            models.Job,
            redact={
                "traceback": program_text,
                "claim_token": token,
                "secrets": "secrets in payloads, encrypted",
                "follow_up": "may hold such secrets; the job that follows has a row of its own",
            },
        )
        cover(models.JobAttempt, redact={"traceback": program_text, "worker": "names HyreLog's own machines"})
        cover(models.JobLog)
        exclude(models.Pause, reason="HyreLog's own operation; no tenant's data")
        exclude(models.Throttle, reason="counts of the runtime: names companies by id, and nothing of theirs")
        exclude(models.WorkerProcess, reason="HyreLog's own processes; no tenant's data")
        exclude(models.Tick, reason="HyreLog's own schedule; no tenant's data")
        autodiscover_modules("handlers")
