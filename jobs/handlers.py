"""The kinds of job that the runtime brings itself."""

import logging
from datetime import datetime
from functools import cache
from typing import Annotated, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from pydantic import BaseModel, ConfigDict, Field

from jobs.alerting import ALERT, report
from jobs.backoff import exponential
from jobs.context import JobContext, Unrecoverable
from jobs.mailing import EMAIL
from jobs.registry import handler

LONGEST_SLEEP = 3600.0
"""Seconds."""

logger = logging.getLogger(__name__)


class Email(BaseModel):
    """A plain text to one address."""

    model_config = ConfigDict(extra="forbid")
    to: str
    subject: str
    text: str


@handler(EMAIL, max_attempts=5, backoff=exponential(base=60, cap=3600), timeout=60)
def send(context: JobContext, email: Email) -> dict[str, Any]:
    """Hand an e-mail to the mail server; without one, there is nothing to do."""
    try:
        validate_email(email.to)
    except ValidationError:
        raise Unrecoverable("The company's contact address is not an e-mail address; correct it.") from None
    return _send(context, email.subject, email.text, to=[email.to])


class Alert(BaseModel):
    """Which type died, and since when to look."""

    type: str
    since: datetime


@handler(ALERT, max_attempts=5, backoff=exponential(base=60, cap=3600), timeout=60)
def alert(context: JobContext, asked: Alert) -> dict[str, Any]:
    """Tell the operators of a type's dead letters."""
    told = report(asked.type, since=asked.since)
    if told is None:
        return {"sent": False}
    return _send(context, *told, to=list(settings.OPERATORS_EMAIL))


class Sleep(BaseModel):
    """For how long."""

    model_config = ConfigDict(extra="forbid")
    seconds: Annotated[float, Field(ge=0, le=LONGEST_SLEEP)]


@handler("sleep", public=True, timeout=LONGEST_SLEEP + 60, company_concurrency=5)
def sleep(context: JobContext, asked: Sleep) -> dict[str, Any]:
    """Sleep, for diagnosis: it shows progress, and ends as soon as it should."""
    slept = 0.0
    while slept < asked.seconds:
        nap = min(1.0, asked.seconds - slept)
        context.wait(nap)
        slept += nap
        context.progress(slept / asked.seconds, step=f"{slept:g} of {asked.seconds:g} s")
    return {"slept": asked.seconds}


def _send(context: JobContext, subject: str, text: str, *, to: list[str]) -> dict[str, Any]:
    if not settings.SENDS_EMAIL:
        _say_that_none_is_sent()
        return {"sent": False}
    # The id is the same on every attempt, by which a server or a reader recognises a repetition. The other header keeps
    # automatic replies from coming back (RFC 3834, section 5).
    headers = {"Message-ID": f"<{context.job.id}@hyrelog>", "Auto-Submitted": "auto-generated"}
    EmailMessage(subject, text, to=to, headers=headers).send()
    return {"sent": True}


@cache
def _say_that_none_is_sent() -> None:
    logger.warning("No mail server is set (EMAIL_HOST): e-mails are not sent.")
