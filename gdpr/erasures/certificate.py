"""The certificate of an erasure: what was erased, when, on whose approval, and how to check it.

It is a statement that HyreLog signs and that outlives the erased: it names no identifier of the person. What proves
it are the records in the company's `system` chain, each of which it names by its hash.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Func, IntegerField
from django.db.models.fields.json import KeyTransform

from audit import erasing, signing
from audit.canonical import canonical
from audit.chain import timestamp
from gdpr.erasures.certificate_page import as_page
from gdpr.models import Erasure

__all__ = ["KIND", "as_page", "certify"]

KIND = "hyrelog-erasure-v1"
"""What the signed bytes begin with, before a line feed and the canonical JSON of the body."""
FORMAT = "hyrelog-erasure-certificate"


def certify(
    erasure: Erasure, *, remaining: Mapping[str, int] | None, now: datetime, repeated_at: datetime | None = None
) -> dict[str, Any]:
    """The signed statement that an erasure is done, as it stands in its row: `{"body", "keyId", "signature"}`.

    `remaining` counts by table and column, such as `audit_auditevent.action`, what names the person and cannot be
    changed; None where nobody could count it any more. `now` is when it was completed, and `repeated_at` when it was
    carried out once more, since a backup of before had been restored. It stays small: 200 erased events make one entry
    of some 300 bytes.
    """
    body = {
        "format": FORMAT,
        "version": 1,
        "erasureId": str(erasure.pk),
        "company": {"id": str(erasure.company_id), "name": erasure.company.name},
        "pseudonym": erasure.pseudonym,
        "requestedAt": timestamp(erasure.created_at),
        "requestedBy": erasure.requested_by,
        "approvals": [{"by": one.approved_by, "at": timestamp(one.at)} for one in erasure.approvals.order_by("at")],
        "startedAt": erasure.started_at and timestamp(erasure.started_at),
        "completedAt": timestamp(now),
        "repeatedAt": repeated_at and timestamp(repeated_at),
        "counts": dict(erasure.counts),
        "remaining": None if remaining is None else dict(remaining),
        "records": list(_records(erasure)),
    }
    return {"body": body, "keyId": signing.current_key_id(), "signature": signing.sign(KIND, canonical(body))}


def _records(erasure: Erasure) -> Iterator[dict[str, Any]]:
    """The erasure's records in the order of the chain, without what they list: that is hundreds of megabytes."""
    listed = Func(KeyTransform("events", "payload"), function="jsonb_array_length", output_field=IntegerField())
    records = erasing.records_of(erasure.company).filter(payload__erasureId=str(erasure.pk)).annotate(listed=listed)
    for workspace, seq, event, sealed, events in records.values_list("workspace_id", "seq", "id", "hash", "listed"):
        yield {"workspaceId": str(workspace), "seq": seq, "eventId": str(event), "hash": sealed, "events": events}
