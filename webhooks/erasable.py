"""How an erasure treats the tables of this app.

What was sent of an event is not kept, but what came back is, and the fingerprint and the signature of what was sent:
by these one could try out who the person was. So of each attempt to deliver an erased event they go. Where it was sent
to stays: whoever received the person's data is to be told of the erasure (GDPR, Art. 19).
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from audit.encryption import is_shut, read_json
from audit.own_words import names_marked
from audit.personal_data import OUR_WORD, RANDOM, Form, Found, erase, spare
from jobs.erasable import OWN_JOB, own_words
from webhooks import models
from webhooks.disabling import DISABLE
from webhooks.models import Webhook, WebhookAttempt, WebhookDelivery
from webhooks.processing.process import PROCESS
from webhooks.recovering import RECOVER
from webhooks.replaying import REPLAY
from webhooks.requesting.request import REQUEST

NOWHERE = "https://erased.invalid/"
"""Leads nowhere, for ever (RFC 6761, section 6.4), and is a URL as everybody who reads it expects."""
REACHES = frozenset({"url", "encrypted_headers", "encrypted_authentication"})
"""The columns without which nothing reaches the endpoint."""
DISABLED = (
    "An erasure (GDPR, Art. 17) removed its URL, headers or credentials, since they named the erased person. Set new"
    " ones, then enable it."
)


def declare() -> None:
    """Tell erasures of the tables."""
    _declare_jobs()
    gone = Form(read=read_json, write=lambda *_: "", is_shut=is_shut)
    pattern = "A pattern on what events are called, without which the webhook hears nothing. It is to name nobody."
    erase(
        Webhook,
        forms={
            "url": Form(write=lambda *_: NOWHERE),
            "encrypted_headers": gone,
            "encrypted_authentication": gone,
        },
        proved={"events": pattern, "categories": pattern},
        kept={"encrypted_secret": RANDOM, "encrypted_previous_secret": RANDOM},
        ready=_quiet,
        then=_disable,
    )
    erase(
        WebhookDelivery,
        follows="event_id",
        emptied={"error": ""},
        kept={"status": OUR_WORD},
        ready=_put_down,
    )
    erase(
        WebhookAttempt,
        follows="delivery_id",
        emptied={
            "request_headers": {},
            "body_sha256": "",
            "error": "",
            "response_headers": {},
            "response_body": "",
        },
        own=_sent,
        kept={"result": OUR_WORD, "kind": OUR_WORD, "timing": "Milliseconds, and what took them."},
        ready=_ended,
    )
    counts = "Counts and times of requests, which say how an endpoint fares. They name no person."
    spare(models.Endpoint, reason=counts)
    spare(models.EndpointHour, reason=counts)


def _declare_jobs() -> None:
    """Where the jobs of webhooks hold HyreLog's own words. Which actions are replayed is a pattern as a webhook's."""
    for job_type in (RECOVER, REPLAY):
        own_words(job_type, *OWN_JOB)
    own_words(DISABLE, "key", "payload.webhookId", "payload.reason", "result", objects=("payload",))
    own_words(REQUEST, "payload.method", objects=("result",))
    own_words(
        PROCESS,
        *("payload.format", "payload.delimiter", "payload.where.op"),
        objects=("payload.source", "payload.where", "result"),
    )


def _sent(row: Mapping[str, Any]) -> dict[str, Any]:
    """What headers are called is no word of a person's."""
    return {column: names_marked(row[column]) for column in ("request_headers", "response_headers")}


def _quiet(found: Found, now: datetime) -> set[Any]:
    """Those that nobody sends to, and those that go on reaching their endpoint; raises as `_disable` does.

    A process that sends has read the URL before, and writes it into an attempt of its own. What somebody sends to is
    disabled, and so comes to rest. The endpoints' locks keep others from claiming (webhooks.claiming) until then.
    """
    cut_off = _cut_off(found)
    list(models.Endpoint.objects.filter(pk__in=cut_off).order_by("pk").select_for_update(no_key=True))
    claimed = WebhookDelivery.objects.filter(webhook__in=cut_off, status=WebhookDelivery.Status.SENDING)
    busy = set(claimed.values_list("webhook_id", flat=True))
    _disable_each(busy, now=now)
    return set(found) - busy


def _put_down(found: Found, _now: datetime) -> set[Any]:
    """Those that nobody has claimed: a process that has may have read the event, and is about to write of it."""
    claimed = WebhookDelivery.objects.filter(pk__in=list(found), status=WebhookDelivery.Status.SENDING)
    return set(found) - set(claimed.values_list("pk", flat=True))


def _ended(found: Found, _now: datetime) -> set[Any]:
    """Those that are not on the wire: the answer is still to be written."""
    sending = WebhookAttempt.objects.filter(pk__in=list(found), result=WebhookAttempt.Result.SENDING)
    return set(found) - set(sending.values_list("pk", flat=True))


def _disable(found: Found, now: datetime) -> None:
    """Disable those that reach their endpoint no more. Raises audit.models.company.ChainBusy."""
    _disable_each(_cut_off(found), now=now)


def _disable_each(keys: Collection[Any], *, now: datetime) -> None:
    for webhook in Webhook.objects.filter(pk__in=keys).order_by("pk"):
        webhook.disable(reason=DISABLED, now=now)


def _cut_off(found: Found) -> list[Any]:
    return [key for key, columns in found.items() if REACHES & set(columns)]
