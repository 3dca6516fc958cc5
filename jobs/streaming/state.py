"""The state of a company's jobs, as a stream tells it: read from the rows, whatever was published."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from jobs.models import Job
from jobs.models.job import JobQuerySet, Status

MOST_JOBS = 500
"""Of one state: the running ones first, then the waiting ones."""
MOST_BYTES = 900_000
"""Of one state's JSON: clients commonly refuse messages above 1 MiB."""
OVERLAP = timedelta(minutes=1)
"""How much further back is looked than was asked: a row's time is that of the start of its transaction, and clocks
differ."""
_LATER = datetime.max.replace(tzinfo=UTC)
# What `Job.summary` shows; payloads, results and tracebacks stay where they are.
_SHOWN = (
    *("id", "type", "status", "progress", "step", "attempt", "max_attempts", "lost", "priority", "run_at", "key"),
    *("error", "created_at", "started_at", "completed_at"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A job as JSON, and a digest of that by which two are told apart."""

    job_id: str
    json: bytes
    digest: int

    @classmethod
    def of(cls, job: dict[str, Any]) -> "Shown":
        json = orjson.dumps(job, option=orjson.OPT_SORT_KEYS)
        return cls(job["jobId"], json, hash(json))


@dataclass(frozen=True, slots=True)
class State:
    """Jobs as they were at a moment; not `complete` where there are more than one message holds."""

    at: datetime
    jobs: list[Shown]
    complete: bool


def read_state(company_id: uuid.UUID, *, since: datetime, now: datetime) -> State:
    """A company's jobs: what runs, what waits, and what ended since a moment; of each the newest first."""
    jobs, size = [], 0
    rows = _rows(company_id, since=since - OVERLAP)
    for row in rows[:MOST_JOBS]:
        shown = Shown.of(row.summary())
        size += len(shown.json)
        if size > MOST_BYTES:
            break
        jobs.append(shown)
    return State(now, jobs, complete=len(jobs) == len(rows))


def _rows(company_id: uuid.UUID, *, since: datetime) -> list[Job]:
    """One statement, so that no job changes sides in between; each part of it goes by an index and ends at a bound."""
    ours = Job.objects.filter(company=company_id).only(*_SHOWN)
    running, waiting = ours.filter(status=Status.PROCESSING), ours.filter(status=Status.PENDING)
    ended = ours.filter(completed_at__gte=since)
    rows = _first(running, "-id").union(_first(waiting, "-id"), _first(ended, "-completed_at"), all=True)
    return sorted(rows, key=_rank, reverse=True)


def _rank(job: Job) -> tuple[Any, ...]:
    return job.status == Status.PROCESSING, job.completed_at or _LATER, job.pk


def _first(jobs: JobQuerySet, order: str) -> JobQuerySet:
    return jobs.order_by(order)[: MOST_JOBS + 1]
