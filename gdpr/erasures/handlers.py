"""The jobs behind an erasure: counting what it would erase, and erasing it."""

import logging
from typing import Any, NoReturn

from django.db import transaction
from django.utils import timezone

from gdpr import storage
from gdpr.erasures import telling
from gdpr.erasures.batching import Held
from gdpr.erasures.changing import Whom
from gdpr.erasures.erasing import erase
from gdpr.erasures.holds import blocking
from gdpr.erasures.metering import Meter
from gdpr.erasures.previewing import preview
from gdpr.erasures.requesting import ERASE, PREVIEW
from gdpr.erasures.surprises import without_words
from gdpr.erasures.waiting import come_back_later
from gdpr.models import Erasure, LegalHold
from jobs.backoff import exponential
from jobs.context import JobContext
from jobs.registry import FOREVER, handler

UNAVAILABLE = "The storage of archives failed; this goes on once it works again. The operators see the details."
STORAGE = "waiting for the storage of archives"
"""The step of a job that cannot go on without it. However long that lasts, its attempts do not end by it."""

logger = logging.getLogger(__name__)


@handler(
    ERASE,
    queue="exports",
    max_attempts=5,
    backoff=exponential(base=10, cap=300),
    timeout=86_400,
    concurrency=2,  # each keeps a process of a worker, and reads whole tables: small jobs need some too
    company_concurrency=1,  # two of one company would only wait for each other
    owed=True,  # to the person: a request that is not to run is rejected, and a legal hold keeps one that has begun
    keep_completed=FOREVER,  # the record of an erasure stays, also of one that failed
    keep_failed=FOREVER,
    died=telling.told_failed,
)
def run(context: JobContext) -> dict[str, Any]:
    """Erase a person; each attempt goes on where the one before ended."""
    with without_words(context):
        return _run(context)


@handler(
    PREVIEW,
    queue="exports",
    max_attempts=5,
    backoff=exponential(base=10, cap=300),
    timeout=86_400,
    concurrency=2,
    company_concurrency=1,
)
def count(context: JobContext) -> dict[str, Any]:
    """Count what an erasure would erase; an erasure that is gone or completed needs it no more."""
    with without_words(context):
        return _count(context)


def _run(context: JobContext) -> dict[str, Any]:
    erasure = Erasure.objects.of(context.company).get(pk=context.payload["erasureId"])
    if erasure.status in (Erasure.Status.REJECTED, Erasure.Status.COMPLETED):
        return {"counts": erasure.counts}  # there is nothing to do, or only the settling was lost
    if hold := blocking(context.company, erasure.person()):
        _wait_for(context, hold)
    if not _begin(context, erasure):
        return {"counts": erasure.counts}
    try:
        storage.reach()  # without it no erasure can end, and each try would look through everything
        erased = erase(context, erasure, clock=timezone.now)
    except Held as held:
        _wait_for(context, held.hold)
    except OSError as error:
        # What it says names folders and hosts. It is for operators; the tenant reads the log of the job.
        logger.warning("The storage of archives failed in job %s: %s", context.job.id, error)
        context.job.advance(context.job.progress, step=STORAGE)
        come_back_later(context, UNAVAILABLE)
    return {"counts": erased.counts, "remaining": erased.remaining, "archives": erased.archives}


def _count(context: JobContext) -> dict[str, Any]:
    known = Erasure.objects.of(context.company).exclude(subject=None)
    erasure = known.filter(pk=context.payload["erasureId"]).first()
    if erasure is None:
        return {}
    whom = Whom(erasure.person(), erasure.pseudonym)
    counted = preview(context.company, whom, advance=Meter(context).took).as_json()
    with transaction.atomic():
        context.hold_claim()
        known.filter(pk=erasure.pk).update(preview=counted, previewed_at=timezone.now())
    return counted


def _begin(context: JobContext, erasure: Erasure) -> bool:
    """Says whether it may; one that was rejected meanwhile may not."""
    with transaction.atomic():
        context.hold_claim()
        return erasure.begin(now=timezone.now())


def _wait_for(context: JobContext, hold: LegalHold) -> NoReturn:
    come_back_later(context, f"Legal hold {hold.pk} keeps what is to be erased; this waits until it is lifted.")
