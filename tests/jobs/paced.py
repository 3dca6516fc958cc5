"""A Celery app whose workers also know what tests declare: `celery -A tests.jobs.paced worker`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyrelog.settings")

import django

django.setup()

from hyrelog.celery import app  # noqa: E402  Django comes first
from jobs.context import JobContext  # noqa: E402
from jobs.registry import handler  # noqa: E402

__all__ = ["app"]


@handler("test.paced", rate="10/s")
def paced(context: JobContext) -> None:
    """Done at once."""
