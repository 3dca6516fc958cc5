"""How an erasure treats the tables of this app."""

from collections.abc import Mapping
from typing import Any

from audit import models
from audit.models.company import SYSTEM_WORKSPACE
from audit.own_words import marked, names_marked
from audit.personal_data import OUR_WORD, RANDOM, Form, erase, spare

NOWHERE = "192.0.2.0/32"
"""No client has this address (RFC 5737): where a network of a key is erased, the key must not open to all others."""
SALTED = "A fingerprint over random bytes: without them, which go with what they belong to, nobody can guess from it."


def declare() -> None:
    """Tell erasures of the tables."""
    _declare_events()
    _declare_tenants()
    # The row goes as a whole: whoever repeats the request must not be answered by the person's data.
    erase(models.IdempotencyRecord, deleted=True, own=_answered, kept={"route": OUR_WORD})
    spare(
        models.ChainHead,
        reason="The number of each workspace's last event, and its hash, which is random to all intents.",
    )


def _declare_events() -> None:
    written = "The hash of the event, which never changes, is made of it. It is to name nobody (docs/gdpr.md)."
    erase(
        models.AuditEvent,
        proved={"category": written, "action": written},
        kept={
            "actor_salt": RANDOM,
            "actor_fresh_salt": RANDOM,
            "actor_commitment": SALTED,
            "content_salt": RANDOM,
            "content_fresh_salt": RANDOM,
            "content_commitment": SALTED,
            "prev_hash": SALTED,
            "hash": SALTED,
        },
    )


def _declare_tenants() -> None:
    erase(models.Company, whose='"id" = %s', own=_named, forms={"contact_email": Form(write=lambda *_: "")})
    # Where HyreLog writes to `system` by its name, a subject that is called so must not take it away.
    erase(
        models.Workspace,
        whose=f""""company_id" = %s AND "name" <> '{SYSTEM_WORKSPACE}'""",
        own=_named,
        numbered=frozenset({"name"}),
    )
    erase(
        models.ApiKey,
        own=_named,
        forms={"allowed_networks": Form(write=_networks)},
        kept={"prefix": RANDOM, "digest": RANDOM},
    )


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Companies, workspaces and keys are called something: that an id is called so, too (`production`), is chance."""
    return {"name": marked(row["name"])}


def _answered(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"answer": names_marked(row["answer"])}


def _networks(_stored: Any, replaced: list[str], pseudonym: str) -> list[str]:
    return [NOWHERE if network == pseudonym else network for network in replaced]
