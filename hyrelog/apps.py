from django.apps import AppConfig, apps

FRAMEWORK = ("admin", "auth", "contenttypes", "sessions")


class HyreLogConfig(AppConfig):
    name = "hyrelog"

    def ready(self) -> None:
        from audit.notices import subscribe
        from audit.personal_data import exclude
        from hyrelog import celery, checks  # noqa: F401  the Celery app becomes the current one, the checks register
        from hyrelog.ops.logs import log_notice

        subscribe(log_notice)
        for label in FRAMEWORK:
            for model in apps.get_app_config(label).get_models(include_auto_created=True):
                exclude(model, reason="Django's own: accounts and sessions of the operators, no tenant's data")
