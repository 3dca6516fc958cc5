"""The job behind an export: make the archive, publish it, verify what was published, put it on record."""

import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

from django.db import transaction
from django.utils import timezone

from audit.checkpoints import BrokenChain
from audit.models.company import ChainBusy
from gdpr import storage, telling
from gdpr.archiving import sha256_of
from gdpr.checking import FaultyArchive, check
from gdpr.erasures import handlers as _of_erasures  # noqa: F401  handlers are found in this module of an app
from gdpr.erasures.interfering import ErasedMeanwhile, is_erasing
from gdpr.erasures.interfering import check as check_erasures
from gdpr.making import Made, MissingRows, Order, make
from gdpr.models import ExportArchive
from gdpr.models.archive import KEPT_FOR
from gdpr.progress import Progress
from gdpr.requesting import EXPORT
from jobs.backoff import exponential
from jobs.context import JobContext, Retryable, Snooze, Stopped, Unrecoverable
from jobs.models import JobLog
from jobs.models.attempt import Outcome
from jobs.registry import FOREVER, handler

UNAVAILABLE = "The storage of archives failed; the operators of HyreLog see the details."
MADE, PUBLISHED = 0.4, 0.5
"""Shares of the whole: reading goes several times as fast as verifying."""

PAUSE = 1.0
"""Seconds between two tries to put an archive on record."""
GIVES_WAY_FOR = 30.0
"""Seconds after which an export looks whether the erasures of its company are done."""
LOOK_EVERY = 5.0
"""Seconds after which an export that runs looks whether one has begun."""

logger = logging.getLogger(__name__)


@handler(
    EXPORT,
    queue="exports",
    max_attempts=5,
    backoff=exponential(base=10, cap=300),
    timeout=86_400,
    concurrency=2,  # each keeps a process of a worker, and reads whole tables: small jobs need some too
    cancellable=True,  # a retry would pass by GDPR_EXPORTS_PER_DAY: tenants request another one
    keep_completed=FOREVER,  # the record of an export stays, also of one that failed
    keep_failed=FOREVER,
    died=telling.told_failed,
)
def export(context: JobContext) -> dict[str, Any]:
    """Make an archive; each attempt begins anew, and finds its work done where only the settling was lost."""
    done = ExportArchive.objects.filter(job=context.job).first()
    try:
        return _result(done or _make(context))
    except ErasedMeanwhile as why:
        _give_way(context, why)
    except (BrokenChain, MissingRows, FaultyArchive) as shortfall:
        raise Unrecoverable(str(shortfall)) from shortfall
    except OSError as error:
        # What it says names folders and hosts. It is for operators; the tenant reads the text of Retryable.
        logger.warning("The storage of archives failed in job %s: %s", context.job.id, error)
        raise Retryable(UNAVAILABLE) from error


def _give_way(context: JobContext, why: ErasedMeanwhile) -> NoReturn:
    """Begin anew in a while, however often: no erasure can have an export fail. Said once while that lasts."""
    last = JobLog.objects.filter(job=context.job).order_by("id").last()
    if last is None or last.text != str(why):
        context.log(str(why))
    raise Snooze(GIVES_WAY_FOR) from why


def _make(context: JobContext) -> ExportArchive:
    if is_erasing(context.company):
        raise ErasedMeanwhile
    # The attempt is in the name: a stale worker that still writes disturbs nobody.
    name = f"{context.job.id}-{context.attempt}.zip"
    _clear_away_attempts_before(context)
    watch = _Watch(context)
    with storage.draft(name) as file:
        made = make(_order(context), file, clock=timezone.now, advance=watch.making)
        check_erasures(context.company, since=made.reached)
        sha256, size = sha256_of(file, advance=watch.hashing)
        storage.publish(name, file, advance=watch.publishing(size))
    try:
        with storage.open_file(name) as published:
            check(published, advance=watch.verifying(made.size))
    except BaseException:
        _discard(name)
        raise
    return _record(context, name, made, sha256=sha256, size=size)


def _clear_away_attempts_before(context: JobContext) -> None:
    for number in range(1, context.attempt):
        storage.clear(f"{context.job.id}-{number}.zip")
    before = context.job.history.filter(number=context.attempt - 1).order_by("started_at").last()
    if before:
        how = "ended with its process" if before.outcome == Outcome.LOST else "failed"
        context.log(f"Attempt {before.number} {how}; the export begins anew.")


def _order(context: JobContext) -> Order:
    request = context.job.export_request
    return Order(
        company=context.company,
        scope=request.scope,
        subject=request.person(),
        csv=request.csv,
        requested_by=request.requested_by,
        requested_at=request.created_at,
        job_id=context.job.id,
        attempt=context.attempt,
    )


def _record(context: JobContext, name: str, made: Made, *, sha256: str, size: int) -> ExportArchive:
    """Put the archive on record, however long the system chain is busy: to make it again would take longer."""
    try:
        while True:
            try:
                return _put_on_record(context, name, made, sha256=sha256, size=size)
            except ChainBusy:
                context.wait(PAUSE)
    except (Stopped, ErasedMeanwhile):
        _discard(name)  # somebody else makes this export now, or it is made anew
        raise
    # Whatever else is raised may come after the commit (a connection that broke just then): the file stays. If there is
    # no record of it, the next attempt clears it away, or housekeeping does.


@transaction.atomic
def _put_on_record(context: JobContext, name: str, made: Made, *, sha256: str, size: int) -> ExportArchive:
    now = timezone.now()
    context.hold_claim()
    context.company.system_workspace.chain_head.lock()
    check_erasures(context.company, since=made.reached)
    archive = ExportArchive.objects.create(
        company=context.company,
        job=context.job,
        scope=context.job.export_request.scope,
        file=name,
        size=size,
        sha256=sha256,
        counts=made.counts,
        checkpoint=made.checkpoint,
        created_at=now,
        expires_at=now + KEPT_FOR,
    )
    telling.told_ready(archive, now=now)
    return archive


def _discard(name: str) -> None:
    try:
        storage.delete(name)
    except OSError as error:
        logger.warning("The file %s in EXPORT_STORAGE cannot be deleted yet: %s.", name, error)


def _result(archive: ExportArchive) -> dict[str, Any]:
    return {"bytes": archive.size, "sha256": archive.sha256, "counts": archive.counts}


class _Watch:
    """Tells the job how far it is, and is told there if it should end; gives way to an erasure, which waits for it."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._looked_at = time.monotonic()
        self._read: dict[str, Any] = {}

    def making(self, progress: Progress) -> None:
        self._read = progress.as_json()
        self._tell(MADE * progress.fraction, progress.step)

    def hashing(self, _: int) -> None:
        self._tell(MADE, "hashing")

    def publishing(self, size: int) -> Callable[[int], None]:
        return self._counting("publishing", MADE, PUBLISHED, size)

    def verifying(self, size: int) -> Callable[[int], None]:
        return self._counting("verifying", PUBLISHED, 0.99, size)

    def _counting(self, step: str, start: float, end: float, size: int) -> Callable[[int], None]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._tell(start + (end - start) * min(1.0, done / size), step)

        return advance

    def _tell(self, fraction: float, step: str) -> None:
        self._context.progress(min(fraction, 0.99), step=step, result=self._read)
        if time.monotonic() - self._looked_at >= LOOK_EVERY:
            self._looked_at = time.monotonic()
            if is_erasing(self._context.company):
                raise ErasedMeanwhile
