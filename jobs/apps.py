from functools import partial

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

QUEUES = ("jobs", "exports")


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from audit.personal_data import cover, exclude
        from jobs import claiming, lanes, models, worker  # noqa: F401  the worker's signals connect

        for queue in QUEUES:
            lanes.register(
                lanes.Lane(
                    name=queue,
                    task="jobs.work",
                    queue=queue,
                    next_due=partial(claiming.next_due, queue),
                    rescue=partial(claiming.rescue, queue),
                )
            )
        cover(models.Job, redact={"traceback": "HyreLog's own program text", "claim_token": "names no person"})
        exclude(models.WorkerProcess, reason="HyreLog's own processes; no tenant's data")
        exclude(models.Tick, reason="HyreLog's own schedule; no tenant's data")
        autodiscover_modules("handlers")
