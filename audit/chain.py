"""The hash chain, as pure functions of an event's fields (design, section 7).

Each event's hash covers its envelope: who, when, where in the chain, and two salted commitments in place of the actor
and the content. Erasing a person later destroys a salt and keeps the commitment, so that the hash stays what it was
and the old value cannot be guessed from it.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from audit.canonical import canonical

GENESIS = "0" * 64
"""The `prevHash` of the first event of a chain."""
SALT_BYTES = 32


def timestamp(moment: datetime) -> str:
    """The one spelling of a time: UTC, six digits, `Z` (RFC 3339 with a fixed precision)."""
    # strftime's %Y would write the year 900 with three digits
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def commitment(salt: str, value: Any) -> str:
    """SHA-256 over the salt's bytes followed by the canonical JSON of `value`; both salt and result are hex."""
    return hashlib.sha256(bytes.fromhex(salt) + canonical(value)).hexdigest()


def envelope(  # noqa: PLR0913  every field of the envelope, by name
    *,
    event_id: str,
    company_id: str,
    workspace_id: str,
    seq: int,
    category: str,
    action: str,
    occurred_at: datetime,
    recorded_at: datetime,
    prev_hash: str,
    actor_commitment: str,
    content_commitment: str,
) -> Mapping[str, Any]:
    """What an event's hash covers."""
    return {
        "id": event_id,
        "companyId": company_id,
        "workspaceId": workspace_id,
        "seq": seq,
        "category": category,
        "action": action,
        "occurredAt": timestamp(occurred_at),
        "recordedAt": timestamp(recorded_at),
        "prevHash": prev_hash,
        "actor": actor_commitment,
        "content": content_commitment,
    }


def chain_hash(sealed: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of an envelope, in hex."""
    return hashlib.sha256(canonical(sealed)).hexdigest()
