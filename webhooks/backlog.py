"""Making many deliveries of one webhook due: as a job, in small batches, no faster than its endpoint takes them.

Each batch is one short transaction, which also notes how far the job is: whoever goes on after a crash goes on there.
"""

from datetime import datetime
from typing import Any, Protocol

from django.db import transaction
from django.utils import timezone

from audit.chain import timestamp
from jobs import doorbell
from jobs.context import JobContext, Snooze, Unrecoverable
from jobs.enqueueing import enqueue
from jobs.models import Job
from webhooks.models import Webhook
from webhooks.models.delivery import BACKLOG, FRESH
from webhooks.planning import LANE

BATCH = 500
"""Rows that one transaction makes due, or events that it looks at."""
ROOM = 10_000
"""Due deliveries of one webhook beyond which no more are made due."""
PAUSE = 5
"""Seconds until a job that found no room looks again; meanwhile others have its place."""


class WebhookOff(Exception):
    """This webhook is disabled or deleted. Enable it first; with "recover": true, what was held is delivered."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class AlreadyRunning(Exception):
    """Another job of this kind is at work for the webhook."""

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"Job {job.id} does the like for this webhook already; wait for its end.")


class Task(Protocol):
    """What is to become due. `so_far` is what the job's result says; a step adds to it, and to its `done`."""

    @property
    def webhook(self) -> Webhook: ...

    def left(self, so_far: dict[str, Any]) -> int:
        """How many rows are still to be looked at."""
        ...

    def step(self, so_far: dict[str, Any], *, now: datetime) -> bool:
        """One batch, in the caller's transaction; says whether there was anything left to do."""
        ...


@transaction.atomic
def begin(job_type: str, *, webhook: Webhook, asked: dict[str, Any], now: datetime) -> Job:
    """The job that does what was asked; one that is at work on just that comes back. Raises WebhookOff, AlreadyRunning.

    The moment of asking is kept: what came to its end after it has had its chance, and is not made due once more.
    """
    if not webhook.enabled:
        raise WebhookOff
    payload = {"webhookId": str(webhook.id), **asked}
    known = {**payload, "askedAt": timestamp(now)}
    job, new = enqueue(job_type, known, company=webhook.company, key=str(webhook.id), now=now)
    if not new and job.payload != {**payload, "askedAt": job.payload.get("askedAt")}:
        raise AlreadyRunning(job)
    return job


def webhook_of(context: JobContext) -> Webhook:
    """The webhook that a job is for, if it is one of the job's company; raises Unrecoverable."""
    webhook = Webhook.objects.of(context.company).filter(pk=context.payload["webhookId"]).first()
    if webhook is None:
        raise Unrecoverable(str(WebhookOff()))
    return webhook


def work_off(context: JobContext, task: Task) -> dict[str, Any]:
    """Do a task batch by batch, waiting for room; its result says how many were done, of how many."""
    so_far: dict[str, Any] = dict(context.job.result or {"done": 0})
    so_far["total"] = so_far["done"] + task.left(so_far)
    while True:
        if not has_room(task.webhook, now=timezone.now()):
            raise Snooze(PAUSE)
        with transaction.atomic():
            context.hold_claim()
            try:
                more = advance(task, so_far, now=timezone.now())
            except WebhookOff as error:
                raise Unrecoverable(str(error)) from None
            fraction = min(so_far["done"] / (so_far["total"] or 1), 1.0)
            context.keep(so_far, fraction=fraction)
        if not more:
            return so_far
        context.progress(fraction, step=f"{so_far['done']} of {so_far['total']}")


def advance(task: Task, so_far: dict[str, Any], *, now: datetime) -> bool:
    """One batch, in the caller's transaction; says whether there was anything left to do. Raises WebhookOff."""
    if not Webhook.objects.present().filter(pk=task.webhook.pk, disabled_at=None).exists():
        raise WebhookOff
    doorbell.ring_on_commit(LANE)
    return task.step(so_far, now=now)


def has_room(webhook: Webhook, *, now: datetime) -> bool:
    """Whether fewer than ROOM of a webhook's deliveries are due. Each count reads an index, and ends at ROOM."""
    fresh, backlog = webhook.deliveries.filter(FRESH), webhook.deliveries.filter(BACKLOG).due(now=now)
    return fresh[:ROOM].count() + backlog[:ROOM].count() < ROOM
