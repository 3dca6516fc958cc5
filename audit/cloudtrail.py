"""AWS CloudTrail records as events (AWS documentation, "CloudTrail record contents")."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.drafts import Draft

OUTSIDE_PAYLOAD = ("userIdentity", "eventTime", "eventSource", "eventName", "eventCategory")


def draft_of(record: Mapping[str, Any]) -> Draft:
    """The event of one CloudTrail record: `s3.GetObject`, its caller, its first resource, the rest as payload.

    Raises KeyError for a record without eventName, eventSource or eventTime, ValueError for a time that is none.
    """
    identity = record.get("userIdentity") or {}
    service = str(record["eventSource"]).removesuffix(".amazonaws.com")
    return Draft(
        action=f"{service}.{record['eventName']}",
        category=str(record.get("eventCategory") or "Management").lower(),
        actor=_actor(identity),
        target=_target(record.get("resources") or []),
        payload={name: value for name, value in record.items() if name not in OUTSIDE_PAYLOAD},
        metadata={"source": "cloudtrail", "eventSource": record["eventSource"]},
        context={"traceId": record.get("requestID")},
        occurred_at=datetime.fromisoformat(record["eventTime"]),
    )


def _actor(identity: Mapping[str, Any]) -> dict[str, Any]:
    name = identity.get("userName") or identity.get("invokedBy") or identity.get("type") or "unknown"
    return {"id": identity.get("arn") or identity.get("principalId") or name, "name": name, "identity": dict(identity)}


def _target(resources: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not resources:
        return None
    first = resources[0]
    return {"type": first.get("type"), "id": first.get("ARN")}
