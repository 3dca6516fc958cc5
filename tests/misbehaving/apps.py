from celery import current_app
from django.apps import AppConfig


class MisbehavingConfig(AppConfig):
    name = "tests.misbehaving"

    def ready(self) -> None:
        current_app.conf.worker_concurrency = 12  # many jobs in as many states at once, on any machine
