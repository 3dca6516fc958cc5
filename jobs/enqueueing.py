"""Enqueueing: job rows in the caller's transaction, and a ring once that is committed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.canonical import check
from audit.models import Company
from audit.notices import notice
from jobs import doorbell, events
from jobs.models import Job
from jobs.payloads import plain
from jobs.registry import handler_of
from jobs.sealing import seal

TRIES = 5
"""To insert a job whose key is taken at one moment and free at the next."""
KEY_ONCE = "job_key_once_while_active"
"""The constraint that keeps a key from being active twice."""


@dataclass(frozen=True, slots=True)
class Then:
    """The job that follows on success. Its payload gets the result of the one before as `result`, if its type has that.

    `payload` is a mapping, or of the type that the handler declares, in which `result` is optional then.
    """

    type: str
    payload: Any = field(default_factory=dict)
    then: "Then | None" = None

    def as_json(self) -> dict[str, Any]:
        """As it is kept in the row. Raises UnknownJobType, BadPayload, UncanonicalValue."""
        declared, payload = handler_of(self.type), plain(self.payload, job_type=self.type)
        takes_result = declared.payload_type is None or declared.payload_type.takes("result", beside=payload)
        check(payload, "then.payload")
        shown, secrets = seal(payload, declared.secrets)
        return {
            "type": self.type,
            "payload": shown,
            "secrets": secrets,
            "takesResult": takes_result,
            "then": self.then and self.then.as_json(),
            # Said here, for the worker that completes the first one may be of a release that knows no such type.
            "queue": declared.queue,
            "maxAttempts": declared.max_attempts,
        }


def enqueue(  # noqa: PLR0913  each is a property of a job
    job_type: str,
    payload: Any,
    *,
    company: Company | None = None,
    key: str | None = None,
    priority: int = 0,
    run_at: datetime | None = None,
    max_attempts: int | None = None,
    then: Then | None = None,
    now: datetime | None = None,
) -> tuple[Job, bool]:
    """The job, and whether it is new: while one of the same type, company and `key` is active, that one comes back.

    `payload` is a mapping, or of the type that the handler declares. The row is in the caller's transaction. Raises
    jobs.registry.UnknownJobType, jobs.payloads.BadPayload, audit.canonical.UncanonicalValue for what cannot be stored.
    """
    job = _job(
        job_type,
        payload,
        company=company,
        key=key,
        priority=priority,
        run_at=run_at or now or timezone.now(),
        max_attempts=max_attempts,
        follow_up=then and then.as_json(),
    )
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                job.save(force_insert=True)
        except IntegrityError as error:
            if not _says_the_key_is_taken(error):
                raise
        else:
            _tell([job])
            return job, True
        active = Job.objects.active_with(company=job.company_id, job_type=job_type, key=key).first()
        if active:  # else it has just ended
            return active, False
    raise KeyContended(job_type, key)


class KeyContended(Exception):
    """Jobs of this type and key come and go too fast to join one; enqueue again."""

    def __init__(self, job_type: str, key: str | None) -> None:
        super().__init__(f"{job_type!r}, key {key!r}: {self.__doc__}")


def enqueue_many(  # noqa: PLR0913
    job_type: str,
    payloads: Sequence[Any],
    *,
    company: Company | None = None,
    keys: Sequence[str | None] | None = None,
    priority: int = 0,
    run_at: datetime | None = None,
    now: datetime | None = None,
) -> list[Job]:
    """The new jobs of these payloads, in their order, by one INSERT; what has the key of an active job is left out.

    `keys` has one for each payload. Raises as `enqueue` does, and ValueError where the numbers differ; then none was
    enqueued.
    """
    due = run_at or now or timezone.now()
    jobs = [
        _job(job_type, payload, company=company, key=key, priority=priority, run_at=due)
        for payload, key in zip(payloads, repeat(None, len(payloads)) if keys is None else keys, strict=True)
    ]
    with transaction.atomic():
        # In the order of their keys: of two callers with the same ones, one waits for the other, and never both.
        Job.objects.bulk_create(sorted(jobs, key=lambda job: job.key or ""), ignore_conflicts=True)
        new = Job.objects.select_related("company").in_bulk([job.pk for job in jobs])
        made = [new[job.pk] for job in jobs if job.pk in new]
        _tell(made)
    return made


def enqueue_follow_up(job: Job, *, now: datetime) -> None:
    """Enqueue what follows a completed job, in the caller's transaction.

    Whether the result suits its type is seen when it runs: a refusal must not undo what was done before it.
    """
    if job.follow_up is None:
        return
    following = Job(
        company_id=job.company_id,
        type=job.follow_up["type"],
        queue=job.follow_up["queue"],
        payload=job.follow_up["payload"] | ({"result": job.result} if job.follow_up["takesResult"] else {}),
        secrets=job.follow_up["secrets"],
        follow_up=job.follow_up["then"],
        priority=job.priority,
        run_at=now,
        max_attempts=job.follow_up["maxAttempts"],
    )
    following.save(force_insert=True)
    _tell([following])


def _job(job_type: str, payload: Any, *, key: str | None, max_attempts: int | None = None, **properties: Any) -> Job:
    declared = handler_of(job_type)
    values = plain(payload, job_type=job_type)
    declared.check(values)
    check(values, "payload")
    shown, secrets = seal(values, declared.secrets)
    return Job(
        type=job_type,
        queue=declared.queue,
        payload=shown,
        secrets=secrets,
        key=key,
        max_attempts=declared.max_attempts if max_attempts is None else max_attempts,
        **properties,
    )


def _says_the_key_is_taken(error: IntegrityError) -> bool:
    diagnosis = getattr(error.__cause__, "diag", None)
    return diagnosis is not None and diagnosis.constraint_name == KEY_ONCE


def _tell(jobs: Sequence[Job]) -> None:
    for job in jobs:
        notice("job.created", job=job.id, type=job.type, company=job.company_id)
    events.tell("created", jobs)
    for queue in {job.queue for job in jobs}:
        doorbell.ring_on_commit(queue)
