"""The health of the workers: who is alive and does what, what nobody serves, and what stands still.

A worker process's row tells of it, and its lease is its heartbeat. Deliveries of webhooks are not counted here: they
have counts of their own.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import current_app
from django.db.models import F
from django.db.models.functions import Now

from audit.chain import timestamp
from jobs import registry, waiting
from jobs.apps import QUEUES
from jobs.models import Job, Pause, Tick, WorkerProcess
from jobs.models.job import Status
from jobs.models.tick import NO_TICK_FOR
from jobs.waiting import StandingStill

SHOWN = 1_000
"""Processes, and running jobs, that a report tells of at the most."""


@dataclass(frozen=True, slots=True)
class Running:
    """A job that a process holds, and for how long it has."""

    job: UUID
    type: str
    time: timedelta

    def as_json(self) -> dict[str, Any]:
        return {"jobId": str(self.job), "type": self.type, "seconds": _seconds(self.time)}


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process by its row; `lease_left` below zero says for how long it has been dead."""

    host: str
    pid: int
    queues: list[str]
    types: list[str]
    processed: int
    failed: int
    uptime: timedelta
    lease_left: timedelta
    active: list[Running]

    @property
    def alive(self) -> bool:
        return self.lease_left > timedelta(0)

    def as_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "pid": self.pid,
            "alive": self.alive,
            "queues": self.queues,
            "types": self.types,
            "uptimeSeconds": _seconds(self.uptime),
            "leaseSeconds": _seconds(self.lease_left),
            "processed": self.processed,
            "failed": self.failed,
            "active": [running.as_json() for running in self.active],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """How the workers are. Healthy is where there are no `problems`, each of which is a sentence."""

    processes: list[Process]
    orphans: int
    """Running jobs whose process has no row any more: the next poll takes them back."""
    paused: list[Pause]
    tick_age: timedelta | None
    due_for: dict[str, timedelta | None]
    """For how long the longest due job of each queue has been due."""
    standing_still: list[StandingStill]
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "healthy": not self.problems,
            "problems": self.problems,
            "processes": [process.as_json() for process in self.processes],
            "orphans": self.orphans,
            "paused": [pause.as_json() for pause in self.paused],
            "lastTickSeconds": _seconds(self.tick_age),
            "oldestDueSeconds": {queue: _seconds(age) for queue, age in self.due_for.items()},
            "standingStill": [
                {"queue": each.queue, "type": each.type, "dueSince": timestamp(each.due_at)}
                for each in self.standing_still
            ],
        }


def report(*, now: datetime) -> Report:
    """Look at everything. Raises django.db.Error where Postgres does not answer."""
    active = _active()
    processes = [Process(active=active.pop(process_id, []), **values) for process_id, values in _processes().items()]
    due_at = {queue: waiting.oldest_due(queue, now=now) for queue in QUEUES}
    still = waiting.standing_still(now=now)
    return Report(
        processes=sorted(processes, key=lambda process: (process.host, process.pid)),
        orphans=sum(len(running) for running in active.values()),
        paused=list(Pause.objects.order_by("kind", "name")),
        tick_age=Tick.objects.age(),
        due_for={queue: None if moment is None else now - moment for queue, moment in due_at.items()},
        standing_still=still,
        problems=[*worker_problems(), *_type_problems(), *beat_problems(), *(_tell(each, now=now) for each in still)],
    )


def worker_problems() -> list[str]:
    """What is missing so that each queue is served; nothing where all is well."""
    served = [set(queues) for queues in WorkerProcess.objects.alive().values_list("queues", flat=True)]
    if not served:
        return ["no worker process holds a lease; start `celery -A hyrelog worker`"]
    unserved = sorted({queue.name for queue in current_app.conf.task_queues}.difference(*served))
    return [f"no worker serves the queue {queue}; start one with `-Q {queue}`" for queue in unserved]


def beat_problems() -> list[str]:
    """Whether beat is missing; nothing where all is well."""
    if Tick.objects.silent():
        return [f"no tick for {NO_TICK_FOR} seconds; start `celery -A hyrelog beat`"]
    return []


def _type_problems() -> list[str]:
    """The types that no worker takes of those that serve their queue."""
    alive = list(WorkerProcess.objects.alive().values_list("queues", "types"))
    served = {queue for queues, _ in alive for queue in queues}

    def is_taken(declared: registry.Handler) -> bool:
        return any(declared.queue in queues and registry.matches(declared.type, types) for queues, types in alive)

    untaken = [each.type for each in registry.handlers() if each.queue in served and not is_taken(each)]
    return [f"no worker takes jobs of the type {job_type}; see `--types` and JOB_TYPES" for job_type in sorted(untaken)]


def _tell(still: StandingStill, *, now: datetime) -> str:
    known = registry.declares(still.type)
    why = "nothing holds them back" if known else "no handler of this release declares it"
    minutes = (now - still.due_at) // timedelta(minutes=1)
    return f"jobs of the type {still.type} stand still: due for {minutes} minutes in the queue {still.queue}, and {why}"


def _processes() -> dict[UUID, dict[str, Any]]:
    rows = WorkerProcess.objects.annotate(uptime=Now() - F("started_at"), lease_left=F("lease_expires_at") - Now())
    names = ("id", "host", "pid", "queues", "types", "processed", "failed", "uptime", "lease_left")
    return {row.pop("id"): row for row in rows.order_by("-lease_expires_at").values(*names)[:SHOWN]}


def _active() -> dict[UUID, list[Running]]:
    active: dict[UUID, list[Running]] = defaultdict(list)
    rows = Job.objects.filter(status=Status.PROCESSING).annotate(time=Now() - F("started_at"))
    for process_id, job, job_type, time in rows.values_list("claimed_by", "id", "type", "time")[:SHOWN]:
        if process_id:
            active[process_id].append(Running(job, job_type, time))
    return active


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else round(time.total_seconds(), 1)
