"""Running jobs: claim one, call its handler, settle what came of it."""

import traceback
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from audit.canonical import check
from audit.notices import notice
from jobs import lanes
from jobs.claiming import claim
from jobs.context import JobContext, Stopped, Unrecoverable
from jobs.models import Job
from jobs.registry import handler_of

SURPRISE = "The job failed in a way that its handler did not expect; the operators of HyreLog see the details."

Clock = Callable[[], datetime]


def run_next(*, queue: str, process: uuid.UUID, stopping: Callable[[], bool], clock: Clock) -> bool:
    """Run the next due job of a queue; says whether there was one."""
    job = claim(queue=queue, process=process, now=clock())
    if job is None:
        return False
    lanes.ring_if_due(queue, now=clock())  # while this one runs, another process may take the next
    notice("job.started", job=job.id, type=job.type, attempt=job.attempt)
    won = run(job, stopping=stopping)
    job.refresh_from_db(fields=["status"])
    notice("job.settled" if won else "job.taken_away", job=job.id, type=job.type, status=job.status)
    return True


def run(job: Job, *, stopping: Callable[[], bool]) -> bool:
    """Call a claimed job's handler and settle the outcome; says whether the claim still held."""
    declared = handler_of(job.type)
    try:
        result = declared.run(JobContext(job, stopping=stopping))
        check(result, "result")
    except Stopped as stopped:
        return job.finish_cancelled() if job.cancel_requested() else job.hand_back(pause=stopped.pause)
    except Unrecoverable as error:
        return job.fail(error=str(error), traceback=traceback.format_exc())
    except Exception as error:  # noqa: BLE001  a handler's surprise is recorded in its row
        return _settle_failure(job, error, pause=declared.backoff(job.attempt))
    return job.complete(result)


def _settle_failure(job: Job, error: Exception, *, pause: timedelta) -> bool:
    # What a surprise says may name hosts, paths and users. It is for operators; the tenant reads `error`.
    text, trace = f"{SURPRISE} ({type(error).__name__})", traceback.format_exc()
    if job.cancel_requested():
        return job.finish_cancelled()
    if job.attempt >= job.max_attempts:
        return job.fail(error=text, traceback=trace)
    return job.retry_later(error=text, traceback=trace, pause=pause)
