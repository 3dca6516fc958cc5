"""The jobs of webhooks."""

from typing import Any

from django.utils import timezone

from jobs.backoff import exponential
from jobs.context import JobContext
from jobs.registry import handler
from webhooks.backlog import work_off
from webhooks.disabling import DISABLE, disable_as_asked
from webhooks.processing.payload import DataProcess
from webhooks.processing.process import PROCESS, TIMEOUT, process
from webhooks.recovering import RECOVER, recovery_of
from webhooks.replaying import REPLAY, replay_of
from webhooks.requesting.payload import HttpRequest
from webhooks.requesting.request import REQUEST, request

PATIENT = exponential(base=10, cap=300)
LONG = 6 * 3600
"""Seconds; what has to wait gives its place away, so that an attempt seldom lasts."""


@handler(RECOVER, max_attempts=10, backoff=PATIENT, timeout=LONG, cancellable=True, retryable=True)
def recover(context: JobContext) -> dict[str, Any]:
    return work_off(context, recovery_of(context))


@handler(REPLAY, max_attempts=10, backoff=PATIENT, timeout=LONG, cancellable=True, retryable=True)
def replay(context: JobContext) -> dict[str, Any]:
    return work_off(context, replay_of(context))


@handler(DISABLE, max_attempts=10, backoff=PATIENT)
def disable(context: JobContext) -> dict[str, Any]:
    return {"disabled": disable_as_asked(context.company, context.payload, now=timezone.now())}


@handler(
    REQUEST,
    public=True,
    max_attempts=5,
    backoff=PATIENT,
    timeout=90,
    concurrency=20,
    company_concurrency=5,
    secrets=("headers",),
)
def http_request(context: JobContext, asked: HttpRequest) -> dict[str, Any]:
    return request(context, asked)


@handler(
    PROCESS,
    public=True,
    backoff=PATIENT,
    timeout=TIMEOUT,
    concurrency=8,
    company_concurrency=2,
    secrets=("source.headers",),
)
def data_process(context: JobContext, asked: DataProcess) -> dict[str, Any]:
    return process(context, asked)
