from functools import partial

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

QUEUES = ("jobs", "exports")


class JobsConfig(AppConfig):
    name = "jobs"

    def ready(self) -> None:
        from jobs import due, erasable, events, lanes, personal_data, publishing, rescuing
        from jobs import worker as _its_signals_connect  # noqa: F401

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
        personal_data.declare()
        erasable.declare()
        autodiscover_modules("handlers")
