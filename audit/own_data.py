"""The tables of this app: what their rows and columns mean, and for how long they are kept."""

from audit import models
from audit.personal_data import cover, exclude

FOR_GOOD = "without end: what is proved of the events must stay provable"


def declare() -> None:
    """Tell exports of the tables."""
    _declare_events()
    _declare_tenants()
    exclude(
        models.ChainHead,
        reason="Repeats the number and the hash of each workspace's last event, which the events show themselves.",
    )
    exclude(
        models.IdempotencyRecord,
        reason="Answers to the company's programs, repeated to one that asks twice, and deleted after 24 hours. What"
        " they tell stands in the rows that the requests made.",
    )


def _declare_tenants() -> None:
    cover(
        models.Company,
        company_column="id",
        meaning="The company itself: whoever uses HyreLog to record what happens in its own systems.",
        kept=FOR_GOOD,
        columns={
            "id": "The company's identifier in HyreLog.",
            "name": "What the company is called.",
            "contact_email": "Where HyreLog writes to when something needs the company's attention.",
            "created_at": "Since when the company has used HyreLog.",
            "closed_at": "Since when it no longer does; empty if it still does.",
        },
    )
    cover(
        models.Workspace,
        meaning="A part of the company's records, such as production or tests. What HyreLog itself did for the company"
        " is in the workspace called system.",
        kept=FOR_GOOD,
        columns={
            "id": "The workspace's identifier.",
            "company_id": "The company that it belongs to.",
            "name": "What it is called.",
            "created_at": "When it was made.",
        },
    )
    cover(
        models.ApiKey,
        meaning="A key by which a program of the company may write and read its records.",
        kept="without end, also once it is revoked: it says who could write and read",
        columns={
            "id": "The key's identifier.",
            "company_id": "The company that it belongs to.",
            "workspace_id": "The only workspace that it opens; empty if it opens all of the company.",
            "name": "What the company calls it.",
            "prefix": "The first characters of the key, by which it is recognised.",
            "allowed_networks": "The networks from which it may be used; empty for all.",
            "expires_at": "When it ends by itself; empty if it does not.",
            "revoked_at": "When it was revoked; empty if it was not.",
            "last_used_at": "When it was last used, to the minute.",
            "created_at": "When it was made.",
        },
        redact={"digest": "What proves a key. The key itself was never kept."},
    )


def _declare_events() -> None:
    cover(
        models.AuditEvent,
        meaning="An event: one thing that happened, as the company recorded it. Who did what, when, and to what.",
        kept="without end: HyreLog deletes no event by itself",
        columns={
            "id": "The event's identifier.",
            "company_id": "The company that recorded it.",
            "workspace_id": "The workspace that it was recorded in.",
            "seq": "Its number in the workspace, counted from 1 without a gap.",
            "category": "Which kind of thing happened, in the company's words, such as auth.",
            "action": "What happened, in the company's words, such as user.login.",
            "occurred_at": "When it happened, by the company's account.",
            "recorded_at": "When HyreLog recorded it.",
            "actor": "Who did it: an identifier and, where the company sent them, a name and an e-mail address.",
            "target": "To what or to whom it was done.",
            "payload": "Further facts that the company sent with it.",
            "metadata": "Facts about the recording, which the company sent with it, such as an address or a device.",
            "changes": "What was changed: each field with its value before and after.",
            "context": "What links it to the company's other systems, such as the number of a request.",
            "actor_salt": "A random number, without which nobody can guess the actor from the fingerprint.",
            "actor_commitment": "The fingerprint of the actor (SHA-256), which the chain is made of.",
            "content_salt": "A random number, without which nobody can guess the content from the fingerprint.",
            "content_commitment": "The fingerprint of target, payload, metadata, changes and context.",
            "actor_fresh_salt": "The random number of what an erasure put in place of the actor; empty if none did.",
            "actor_erased_by": "The event that records that erasure, with its fingerprint; empty if there was none.",
            "content_fresh_salt": "The random number of what an erasure put in place of parts of the content; empty if"
            " none did.",
            "content_erased_by": "The event that records that erasure, with its fingerprint; empty if there was none.",
            "prev_hash": "The fingerprint of the event before it in the workspace: the link of the chain.",
            "hash": "The fingerprint of this event, which changes with any of its parts.",
        },
    )
