"""The tables of this app, for exports, and who receives the events of a company."""

from collections.abc import Iterable

from django.conf import settings
from django.db.models import Func, Max, Min, TextField, Value
from django.db.models.fields.json import KeyTextTransform

from audit.models import Company
from audit.personal_data import Recipient, cover, disclose, exclude
from jobs.models import Job
from webhooks import models
from webhooks.requesting.request import REQUEST
from webhooks.sending.target import BlockedAddress, parse_target

SIGNS = "Signs what is sent to the endpoint: whoever reads it could forge that."


def declare() -> None:
    """Tell exports of the tables and of the recipients."""
    _declare_webhooks()
    _declare_deliveries()
    _declare_attempts()
    reason = "Counts and times of requests, which say how an endpoint fares. They name no person and tell of no event."
    exclude(models.Endpoint, reason=reason)
    exclude(models.EndpointHour, reason=reason)
    disclose(webhooks_of)
    disclose(requested_by)


def webhooks_of(company: Company) -> Iterable[Recipient]:
    """Each webhook that a company has or had; of the address only the host, since paths and queries carry tokens."""
    for webhook in models.Webhook.objects.filter(company=company).select_related("workspace").order_by("pk"):
        yield Recipient(
            kind="webhook",
            name=webhook.description or f"webhook {webhook.pk}",
            destination=_host(webhook.url),
            receives=_events(webhook),
            since=webhook.created_at,
            until=webhook.deleted_at,
        )


def requested_by(company: Company) -> Iterable[Recipient]:
    """Each host that jobs of a company sent requests to, as far as the jobs are kept."""
    url, text = KeyTextTransform("url", "payload"), TextField()
    host = Func(url, Value("^[A-Za-z]+://[^/?#]+"), function="substring", output_field=text)
    requests = Job.objects.of(company).filter(type=REQUEST).annotate(host=host).filter(host__isnull=False)
    for row in requests.values("host").annotate(first=Min("created_at"), last=Max("created_at")).order_by("host"):
        yield Recipient(
            kind="request",
            name="a host that the company had requests sent to",
            destination=row["host"],
            receives="what the company put into the requests, which are among the jobs for as long as these are kept",
            since=row["first"],
            until=row["last"],
        )


def _host(url: str) -> str:
    try:
        return parse_target(url).origin
    except BlockedAddress:  # by a rule that came after the webhook: no reason for an export to fail
        return "an address that HyreLog no longer sends to"


def _events(webhook: models.Webhook) -> str:
    """Which events a webhook receives, in words."""
    actions, categories = ", ".join(webhook.events), ", ".join(webhook.categories)
    where = f"the workspace {webhook.workspace.name}" if webhook.workspace else "all workspaces"
    what = "all events" if actions == "*" else f"the events whose action is {actions}"
    return f"{what} of {where}" + ("" if categories == "*" else f", of the category {categories}")


def _declare_webhooks() -> None:
    cover(
        models.Webhook,
        meaning="A webhook: a computer of the company's choice that HyreLog sends events to, as they happen.",
        kept="without end, also once it is deleted: it says who received events",
        columns={
            "id": "The webhook's identifier.",
            "company_id": "The company that it belongs to.",
            "workspace_id": "The only workspace whose events it receives; empty if it receives those of all.",
            "url": "The internet address that the events are sent to.",
            "events": "The actions that it receives; * stands for anything.",
            "categories": "The categories that it receives; * stands for anything.",
            "description": "What the company wrote about it.",
            "previous_secret_until": "Until when a replaced secret still signs; empty if none does.",
            "retry_schedule": "The pauses before each further attempt, in seconds; empty for HyreLog's own.",
            "timeout_seconds": "How long an answer may take, in seconds; empty for HyreLog's own limit.",
            "rate_limit": "How many requests a second it receives at the most; empty for no limit.",
            "disabled_at": "Since when nothing is sent; empty if it is.",
            "disabled_reason": "Why nothing is sent.",
            "held_before": "What was kept back before this time stays so until somebody asks for it.",
            "deleted_at": "When the company deleted it; empty if it did not.",
            "created_at": "When the company made it.",
        },
        redact={
            "encrypted_secret": SIGNS,
            "encrypted_previous_secret": SIGNS,
            "encrypted_headers": "May hold passwords of the endpoint.",
            "encrypted_authentication": "The password of the endpoint.",
        },
    )


def _declare_deliveries() -> None:
    cover(
        models.WebhookDelivery,
        meaning="A delivery: that an event was to be sent to a webhook, and what has become of it.",
        kept=f"{settings.WEBHOOK_RETENTION_DAYS} days after it came to rest (WEBHOOK_RETENTION_DAYS)",
        follows="event_id",
        columns={
            "id": "The delivery's identifier.",
            "company_id": "The company whose event it is.",
            "webhook_id": "The webhook that the event is sent to.",
            "event_id": "The event that is sent.",
            "envelope_version": "In which form the event is sent.",
            "status": "How it stands: PENDING, SENDING, SUCCESS, FAILED, HELD (kept back) or CANCELLED.",
            "next_attempt_at": "When it is tried next; empty if it is not.",
            "attempt": "How many times it was tried.",
            "failures": "How many of these count as failed.",
            "replay": "Whether somebody asked for it to be sent again.",
            "lost_in_a_row": "How many attempts in a row ended without anybody's knowing how.",
            "claimed_by": "The process of HyreLog that sends it just now; empty otherwise.",
            "error": "Why it failed; empty if it did not.",
            "created_at": "When it came up.",
            "completed_at": "When it came to rest.",
        },
        redact={"claim_token": "A random number by which processes of HyreLog keep out of each other's way."},
    )


def _declare_attempts() -> None:
    cover(
        models.WebhookAttempt,
        meaning="An attempt: one request by which HyreLog tried to deliver an event to a webhook, and the answer.",
        kept=f"{settings.WEBHOOK_ATTEMPT_RETENTION_DAYS} days (WEBHOOK_ATTEMPT_RETENTION_DAYS)",
        follows="delivery_id",
        columns={
            "id": "The attempt's identifier.",
            "company_id": "The company whose event was sent.",
            "delivery_id": "The delivery that was tried.",
            "number": "Which attempt of the delivery it was, counted from 1.",
            "result": "What came of it: sending, delivered, failed, or lost (perhaps delivered; nobody knows).",
            "request_headers": "The lines that were sent ahead of the event; passwords are masked.",
            "body_sha256": "The fingerprint (SHA-256) of what was sent.",
            "started_at": "When it began.",
            "finished_at": "When it ended.",
            "kind": "What came of it, more precisely, such as timeout.",
            "http_status": "The number by which the other side answered, such as 200; empty if it did not.",
            "error": "Why it failed; empty if it did not.",
            "address": "The network address (IP) that was connected to.",
            "response_headers": "The lines that came back ahead of the answer.",
            "response_body": "The beginning of the answer.",
            "repeated": "Whether it was sent twice, since the connection closed without an answer.",
            "timing": "How long each part took, in milliseconds.",
        },
        redact={
            "url": "Its path or query may hold a password of the endpoint. The company's webhooks"
            " (webhooks_webhook) say where events are sent, context.json says to which hosts."
        },
    )
