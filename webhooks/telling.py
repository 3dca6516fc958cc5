"""Telling what became of a webhook: an event of the company's `system` workspace and, where it matters, an e-mail."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from audit import recording
from audit.chain import timestamp
from jobs.mailing import mail
from webhooks.sending.target import parse_target

if TYPE_CHECKING:
    from webhooks.models import Webhook


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail, with places for the facts."""

    subject: str
    text: str


_LETTERS = {
    "webhook.failing": Letter(
        "Your webhook to {url} is failing",
        "{url} has accepted no request since {failingSince}: {consecutiveFailures} failed in a row. The last error:"
        " {lastError}.\n\n"
        "If this goes on, HyreLog disables the webhook on {disabledFrom}, provided that at least"
        " {disabledAfterFailures} requests in a row have failed by then.",
    ),
    "webhook.disabled": Letter(
        "Your webhook to {url} was disabled",
        "HyreLog has disabled the webhook to {url}: {reason}.\n\n"
        "What comes up for it from now on is held. Once the endpoint works again, enable the webhook; with"
        ' {{"recover": true}}, what was held is delivered then.',
    ),
    "webhook.recovered": Letter(
        "Your webhook to {url} works again",
        "{url} accepts requests again.\n\nWhat was given up meanwhile can be recovered.",
    ),
}
_SIGNATURE = "\n\nCompany: {company}\nWebhook: {webhookId}\n"


def tell(webhook: "Webhook", action: str, *, now: datetime, mailed: bool = False, **facts: object) -> None:
    """Record what happened, in the caller's transaction; `mailed` writes to the company's contact address too.

    Of the URL only the origin is told: paths and queries carry tokens, and other endpoints hear this.
    """
    told = {"webhookId": str(webhook.id), "url": parse_target(webhook.url).origin, **facts}
    payload = {name: timestamp(fact) if isinstance(fact, datetime) else fact for name, fact in told.items()}
    recording.record_system(company=webhook.company, action=action, payload=payload, now=now)
    if mailed:
        letter, words = _LETTERS[action], {name: _in_words(fact) for name, fact in told.items()}
        text = (letter.text + _SIGNATURE).format(company=webhook.company.name, **words)
        mail(webhook.company, subject=f"HyreLog: {letter.subject.format(**words)}", text=text, now=now)


def _in_words(fact: object) -> str:
    return f"{fact.astimezone(UTC):%Y-%m-%d at %H:%M} UTC" if isinstance(fact, datetime) else str(fact)
