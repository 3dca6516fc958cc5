from django.apps import AppConfig


class HyreLogConfig(AppConfig):
    name = "hyrelog"

    def ready(self) -> None:
        from audit.notices import subscribe
        from hyrelog import checks  # noqa: F401  registers the system checks
        from hyrelog.ops.logs import log_notice

        subscribe(log_notice)
