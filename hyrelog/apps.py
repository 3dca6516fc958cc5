from django.apps import AppConfig


class HyreLogConfig(AppConfig):
    name = "hyrelog"

    def ready(self) -> None:
        from audit.notices import subscribe
        from hyrelog import celery, checks, erasable, personal_data  # noqa: F401  Celery's app becomes the current one, checks register
        from hyrelog.ops.logs import log_notice

        subscribe(log_notice)
        personal_data.declare()
        erasable.declare()
