"""Running jobs: claim one, call its handler, settle what came of it."""

import random
import time
import traceback
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction

from audit.canonical import check
from audit.notices import notice
from jobs import dying, lanes
from jobs.backoff import with_jitter
from jobs.claiming import Claimer
from jobs.context import JobContext, Retryable, Snooze, Stopped, Unrecoverable
from jobs.enqueueing import enqueue_follow_up
from jobs.models import Job
from jobs.models.attempt import Outcome
from jobs.payloads import BadPayload
from jobs.registry import handler_of
from jobs.stopping import in_a_hurry
from jobs.watching import Reason, Watch

SURPRISE = "The job failed in a way that its handler did not expect; the operators of HyreLog see the details."

A_MOMENT = timedelta(seconds=0.5)
"""For which a process keeps its slot. By bells alone a rate of ten a second would be one of six."""

AT_LEAST = 0.01
"""Seconds between two looks, also where this machine's clock is ahead of the database's."""

Clock = Callable[[], datetime]


def run_next(
    claimer: Claimer,
    *,
    process: uuid.UUID,
    stopping: Callable[[], bool],
    clock: Clock,
    newcomers_only: bool = False,
) -> bool:
    """Run the next due job of a queue, watched by a thread; says whether there may be another one now.

    For one that may start in a moment, by its rate or its schedule, it waits; for a later one the bell will ring.
    """
    claim = claimer.claim(process=process, now=clock(), newcomers_only=newcomers_only)
    if claim.job is None:
        now = clock()
        if claim.opens_at is None:
            return False
        if claim.opens_at > now + A_MOMENT:
            lanes.ring_at(claimer.queue, claim.opens_at, now=now)
            return False
        time.sleep(max(AT_LEAST, (claim.opens_at - now).total_seconds()))
        return True
    lanes.ring_if_due(claimer.queue, now=clock())  # while this one runs, another process may take the next
    run(claim.job, watch=watch_over(claim.job, stopping=stopping, clock=clock), clock=clock)
    return True


def watch_over(job: Job, *, stopping: Callable[[], bool], clock: Clock) -> Watch:
    """The watch of a claimed job."""
    return Watch(
        job,
        timeout=handler_of(job.type).timeout,
        stopping=stopping,
        patience=lambda: 0.0 if in_a_hurry() else settings.JOB_SHUTDOWN_TIMEOUT,
        settle_timeout=partial(_time_out, clock=clock),
    )


def run(job: Job, *, watch: Watch, clock: Clock) -> bool:
    """Call a claimed job's handler and settle the outcome; says whether the claim still held."""
    notice("job.started", job=job.id, type=job.type, attempt=job.attempt)
    won = _call(job, watch, clock)
    if not won:
        job.refresh_from_db()
    notice("job.settled" if won else "job.taken_away", job=job.id, type=job.type, status=job.status)
    return won


def _call(job: Job, watch: Watch, clock: Clock) -> bool:
    declared = handler_of(job.type)
    try:
        with watch:
            result = declared.run(JobContext(job, watch=watch))
        check(result, "result")
    except Stopped:
        return _stop(job, watch.reason, clock)
    except Snooze as snooze:
        return job.snooze(snooze.pause)
    except (Unrecoverable, BadPayload) as error:
        return _fail(job, error=str(error), traceback=traceback.format_exc(), clock=clock)
    except Retryable as error:
        trace = traceback.format_exc()
        return _retry_or_fail(job, error=str(error), traceback=trace, clock=clock, least=error.pause)
    except Exception as error:  # noqa: BLE001  a handler's surprise is recorded in its row
        # What a surprise says may name hosts, paths and users. It is for operators; the tenant reads `error`.
        text = f"{SURPRISE} ({type(error).__name__})"
        return _retry_or_fail(job, error=text, traceback=traceback.format_exc(), clock=clock)
    return _complete(job, result, now=clock())


@transaction.atomic
def _complete(job: Job, result: object, *, now: datetime) -> bool:
    """The next of a chain comes into being if and only if this one is done."""
    won = job.complete(result)
    if won:
        enqueue_follow_up(job, now=now)
    return won


def _stop(job: Job, reason: Reason | None, clock: Clock) -> bool:
    match reason:
        case Reason.TIMEOUT:
            return _time_out(job, clock=clock)
        case Reason.CANCELLED:
            return job.finish_cancelled()
        case Reason.SHUTDOWN | Reason.TAKEN_AWAY:
            return job.hand_back()
    # Not counted, it would come back at once, for ever.
    error = "The handler stopped although nobody had asked it to."
    return _retry_or_fail(job, error=error, traceback=traceback.format_exc(), clock=clock)


def _time_out(job: Job, *, clock: Clock) -> bool:
    error = f"timeout: the attempt took longer than {handler_of(job.type).timeout:g} seconds"
    return _retry_or_fail(job, error=error, clock=clock, outcome=Outcome.TIMED_OUT)


def _retry_or_fail(  # noqa: PLR0913  what is told of a failure, and when to come back
    job: Job,
    *,
    error: str,
    clock: Clock,
    traceback: str = "",
    outcome: Outcome = Outcome.FAILED,
    least: timedelta = timedelta(0),
) -> bool:
    if job.attempt >= job.max_attempts:
        return _fail(job, error=error, traceback=traceback, clock=clock, outcome=outcome)
    backoff = max(handler_of(job.type).backoff(job.attempt), least)
    pause = with_jitter(backoff, lot=random.random())  # noqa: S311  no secret
    return job.retry_later(error=error, traceback=traceback, pause=pause, outcome=outcome)


@transaction.atomic
def _fail(job: Job, *, error: str, traceback: str, clock: Clock, outcome: Outcome = Outcome.FAILED) -> bool:
    won = job.fail(error=error, traceback=traceback, outcome=outcome)
    if won and job.status == Job.Status.FAILED:
        dying.died([job], now=clock())
    return won
