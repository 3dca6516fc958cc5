"""The one kind of job that the runtime brings itself: an e-mail."""

import logging
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email

from jobs.context import JobContext, Unrecoverable
from jobs.mailing import EMAIL
from jobs.registry import exponential, handler

logger = logging.getLogger(__name__)


@handler(EMAIL, max_attempts=5, backoff=exponential(base=60, cap=3600))
def send(context: JobContext) -> dict[str, Any]:
    """Hand an e-mail to the mail server; without one, there is nothing to do."""
    if not settings.SENDS_EMAIL:
        _say_that_none_is_sent()
        return {"sent": False}
    payload = context.payload
    try:
        validate_email(payload["to"])
    except ValidationError:
        raise Unrecoverable("The company's contact address is not an e-mail address; correct it.") from None
    # The id is the same on every attempt, by which a server or a reader recognises a repetition. The other header keeps
    # automatic replies from coming back (RFC 3834, section 5).
    headers = {"Message-ID": f"<{context.job.id}@hyrelog>", "Auto-Submitted": "auto-generated"}
    EmailMessage(payload["subject"], payload["text"], to=[payload["to"]], headers=headers).send()
    return {"sent": True}


@cache
def _say_that_none_is_sent() -> None:
    logger.warning("No mail server is set (EMAIL_HOST): e-mails to companies are not sent.")
