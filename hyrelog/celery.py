"""The Celery app: who listens to which queue, what beat says and when, and what makes lost messages harmless.

Postgres holds the truth. A message here only says that there may be work, so that losing, doubling or delaying any of
them costs nothing but time.
"""

import logging
import os
import warnings
from typing import Any

import click
from celery import Celery, bootsteps, signals
from kombu.entity import Exchange, Queue
from kombu.transport import redis as transport

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyrelog.settings")

from django.conf import settings
from django.core import checks

from jobs import slots
from jobs.apps import QUEUES as JOB_QUEUES
from jobs.ending import Ending

QUEUES = ("webhooks", *JOB_QUEUES, "housekeeping")
BESIDE_SENDERS = 1 + slots.FOR_JOBS
"""Processes beside those that send (one for each core): four for jobs, one kept for ticks."""

# Celery announces a change of the setting below whenever Redis is lost, although it is set here.
warnings.filterwarnings("ignore", message=".*worker_cancel_long_running_tasks_on_connection_loss.*")

# A worker that stops puts back the messages that it has not begun: bells for a moment to come, mostly. Where it lost
# Redis, kombu would try the same through a connection that has forgotten its address, and the worker would end by that.
transport.Channel.do_restore = property(  # type: ignore[assignment]  # a plain attribute of a library's class
    lambda channel: channel.connection.client is not None
)


class TakenTypes(bootsteps.Step):  # type: ignore[misc]  # Celery has no types
    """Which types of jobs a worker takes; its children inherit it.

    `--types` wins over JOB_TYPES, also where it is empty and means all. Raises SystemExit for a pattern of no type.
    """

    def __init__(self, worker: Any, types: str | None = None, **options: Any) -> None:
        from jobs import registry  # noqa: PLC0415  it needs Django's models, which are loaded once this module is

        patterns = settings.JOB_TYPES if types is None else [part.strip() for part in types.split(",") if part.strip()]
        try:
            registry.take_only(patterns)
        except registry.UnmatchedPattern as problem:
            raise SystemExit(f"HyreLog does not start: {problem} See --types and JOB_TYPES.") from None
        super().__init__(worker, **options)


app = Celery("hyrelog")
app.conf.update(
    broker_url=settings.REDIS_URL,
    # Redis may restart at any time: try for ever, also at start-up, and notice within seconds that a peer is gone.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={
        "visibility_timeout": 3600,  # no message of ours waits unacknowledged: bells are acknowledged when they arrive
        "socket_connect_timeout": 5,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
    # A bell is acknowledged as it arrives. Late acknowledgement would ring it again after a crash, which the rows, not
    # the message, have to survive; and Redis would give a task that outlasts the visibility timeout to a second worker.
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,  # the task needs no broker to finish its rows
    # Results live in rows. A result backend would be a second truth, and one more thing to lose.
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="housekeeping",
    # Each with an exchange of its own: with one for all, every bell would ring in every queue.
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
    task_default_exchange="housekeeping",
    task_default_routing_key="housekeeping",
    task_create_missing_queues=False,  # a misspelt -Q is an error, not a queue that nobody rings
    task_publish_retry=False,
    timezone="UTC",
    # One sender for each core, and room for jobs and ticks beside them.
    worker_concurrency=(os.cpu_count() or 1) + BESIDE_SENDERS,
    worker_send_task_events=True,  # Flower shows tasks by these
    # Slots are claimed in Postgres: what beat remembers between two starts would add nothing, so it keeps no file.
    beat_scheduler="celery.beat:Scheduler",
    beat_max_loop_interval=5,
    beat_schedule={
        "webhook-delivery-sweep": {
            "task": "jobs.poll",
            "schedule": 60,
            "kwargs": {"name": "webhook-delivery-sweep", "period": 60, "chosen": ["webhooks"]},
            "options": {"queue": "housekeeping", "expires": 55},
        },
        "gdpr-export-poll": {
            "task": "jobs.poll",
            "schedule": 5,
            "kwargs": {"name": "gdpr-export-poll", "period": 5},
            "options": {"queue": "housekeeping", "expires": 5},
        },
        "webhook-health": {
            "task": "webhooks.check_health",
            "schedule": 60,
            "kwargs": {"name": "webhook-health", "period": 60},
            "options": {"queue": "housekeeping", "expires": 55},
        },
        "housekeeping": {
            "task": "hyrelog.housekeeping",
            "schedule": 600,
            "kwargs": {"name": "housekeeping", "period": 600},
            "options": {"queue": "housekeeping", "expires": 300},
        },
    },
)
app.autodiscover_tasks()
app.user_options["worker"].add(
    click.Option(["--types"], help="Patterns of the types of jobs to take, such as 'email.*,gdpr.*' (JOB_TYPES).")
)
app.steps["worker"].update({TakenTypes, Ending})


@signals.celeryd_init.connect
@signals.beat_init.connect
def refuse_bad_settings(**_: Any) -> None:
    """Celery runs Django's system checks and goes on whatever they say; a worker with a bad setting must not."""
    problems = [message for message in checks.run_checks() if message.is_serious()]
    if problems:
        raise SystemExit("HyreLog does not start:\n" + "\n".join(str(problem) for problem in problems))


@signals.setup_logging.connect
def keep_logging(loglevel: int | None = None, **_: Any) -> None:
    """Logs stay as Django's settings made them; Celery would put its own in their place."""
    if loglevel is not None:
        logging.getLogger().setLevel(loglevel)
