"""How an erasure treats the tables of this app.

A job about the person is work about them: it must not be done any more, nor write of them into its row once that is
erased. So what waits is cancelled, and what runs is asked to stop and awaited.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from audit.encryption import encrypt, is_shut, read_json
from audit.own_words import at, marked, names_marked, unmarked
from audit.personal_data import OUR_WORD, Form, Found, erase, spare
from jobs import models, registry
from jobs.models import Job, JobLog

WORK = frozenset({"payload", "secrets", "follow_up", "key"})
"""The columns that say what a job is about; what stands in the others has come of it."""
ENDED = "Cancelled: the person whom it was about has been erased (GDPR, Art. 17)."
GONE = "(erased)"
"""What stands in place of a line in the log of a job about the person."""
OWN_JOB = ("key", "payload", "step", "result")
"""The places of a job that is about HyreLog's own rows, by their ids: it can do nothing if one of these is replaced."""

_own: dict[str, list[tuple[str, Callable[[Any], Any]]]] = {}
"""By type of job, the places of a row that hold HyreLog's own words, and what marks them."""


def own_words(job_type: str, *places: str, objects: Collection[str] = ()) -> None:
    """Declare what is HyreLog's own in jobs of a type, where no id of a person is looked for, but addresses are.

    A place is a column or a dotted path in one, such as `payload.method`; of `objects` only the names of their members
    are HyreLog's own.
    """
    # Places are found by the names as they are: an object comes behind what stands in it.
    _own[job_type] = [*((place, marked) for place in places), *((place, names_marked) for place in objects)]


def declare() -> None:
    """Tell erasures of the tables."""
    _declare_jobs()
    _declare_history()
    spare(models.Pause, reason="Which queues of HyreLog its operators have stopped. It belongs to no company.")
    spare(models.Throttle, reason="Counts by which HyreLog shares its time among companies. They tell of no person.")
    spare(models.WorkerProcess, reason="HyreLog's own running programs. They belong to no company.")
    spare(models.Tick, reason="HyreLog's own schedule. It belongs to no company.")


def let_end(jobs: Collection[uuid.UUID], *, stopping: Collection[uuid.UUID], now: datetime) -> set[uuid.UUID]:
    """Those of the jobs that do not run. Those of `stopping` that do are asked to, where their type can be stopped."""
    running = dict(Job.objects.filter(pk__in=jobs, status=Job.Status.PROCESSING).values_list("pk", "type"))
    stoppable = [pk for pk, job_type in running.items() if pk in stopping and _can_be_stopped(job_type)]
    if stoppable:
        Job.objects.filter(pk__in=stoppable).cancel(now=now)
    return set(jobs) - running.keys()


def cancel_waiting(jobs: Collection[uuid.UUID], *, now: datetime, **changes: Any) -> None:
    """Cancel those of the jobs that wait, and change them; in the caller's transaction. Their error says why.

    They are told of as they are then: whoever follows the company's jobs must not read what was erased.
    """
    waiting = Job.objects.filter(pk__in=jobs, status=Job.Status.PENDING)
    ended = {"status": Job.Status.CANCELLED, "completed_at": now, "cancel_requested_at": now, "error": ENDED}
    waiting.change_each({**ended, **changes}, event="cancelled", when=Job.Status.CANCELLED)


def _ready(found: Found, now: datetime) -> set[Any]:
    return let_end(found.keys(), stopping=_about(found), now=now)


def _then(found: Found, now: datetime) -> None:
    cancel_waiting(_about(found), now=now)


def _about(found: Found) -> set[uuid.UUID]:
    """Those whose work is about the person."""
    return {pk for pk, columns in found.items() if WORK & set(columns)}


def _can_be_stopped(job_type: str) -> bool:
    return registry.declares(job_type) and registry.handler_of(job_type).cancellable


def _own_in(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with what is HyreLog's own marked: by its type, and the names of whatever that type takes."""
    job_type, found = row["type"], dict(row)
    for place, mark in [*_own.get(job_type, ()), *_names_in(job_type)]:
        column, *path = place.split(".")
        if column in found:
            found[column] = at(path, found[column], mark)
    return found


def _names_in(job_type: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """The objects whose members a handler declares: of a payload that is checked, each name is a parameter's."""
    yield "secrets", names_marked
    if registry.declares(job_type) and registry.handler_of(job_type).payload_type:
        yield "payload", names_marked


def _declare_jobs() -> None:
    erase(
        Job,
        own=_own_in,
        own_by=frozenset({"type"}),
        # What came of a job about the person may tell of them without naming them: the answer to a request, say.
        emptied={"result": None, "error": "", "traceback": "", "step": ""},
        numbered=frozenset({"key"}),
        forms={
            "payload": Form(write=lambda _, replaced, __: unmarked(replaced)),
            "secrets": Form(read=read_json, write=lambda _, replaced, __: _sealed(replaced), is_shut=is_shut),
            "follow_up": Form(read=_opened_steps, write=_with_steps, is_shut=_is_any_shut),
        },
        kept={"type": OUR_WORD, "queue": OUR_WORD, "status": OUR_WORD},
        ready=_ready,
        then=_then,
    )


def _declare_history() -> None:
    erase(
        models.JobAttempt,
        follows="job_id",
        emptied={"error": "", "traceback": ""},
        kept={"outcome": OUR_WORD},
    )
    erase(JobLog, follows="job_id", emptied={"text": GONE}, kept={"level": OUR_WORD})


# Secrets of payloads, of the job itself and of those that are to follow it (jobs.sealing, jobs.enqueueing.Then).


def _sealed(secrets: Any) -> str:
    return encrypt(json.dumps(unmarked(secrets)))


def _is_any_shut(follow_up: dict[str, Any] | None) -> bool:
    return any(is_shut(step["secrets"]) for step in _steps(follow_up))


def _opened_steps(follow_up: dict[str, Any] | None) -> list[Any]:
    """Payload and secrets of each job that is to follow, one after the other."""
    opened = []
    for step in _steps(follow_up):
        row = {"type": step["type"], "payload": step["payload"], "secrets": read_json(step["secrets"])}
        own = _own_in(row)
        opened.append([own["payload"], own["secrets"]])
    return opened


def _with_steps(follow_up: dict[str, Any], steps: list[Any], _pseudonym: str) -> dict[str, Any] | None:
    written: dict[str, Any] | None = None
    for before, (payload, opened) in reversed([*zip(_steps(follow_up), steps, strict=True)]):
        secrets = before["secrets"] if opened is None else _sealed(opened)
        written = {**before, "payload": unmarked(payload), "secrets": secrets, "then": written}
    return written


def _steps(follow_up: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    while follow_up is not None:
        yield follow_up
        follow_up = follow_up["then"]
