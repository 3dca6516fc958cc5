"""AWS CloudTrail records as events (AWS documentation, "CloudTrail record contents")."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.drafts import Draft, InvalidDraft
from audit.moments import read_moment

OUTSIDE_PAYLOAD = ("userIdentity", "eventTime", "eventSource", "eventName", "eventCategory")


def draft_of(record: Mapping[str, Any]) -> Draft:
    """The event of one CloudTrail record: `s3.GetObject`, its caller, its first resource, the rest as payload.

    Raises KeyError for a record without eventName, eventSource or eventTime, InvalidDraft for one that breaks a rule.
    """
    source = _text(record, "eventSource")
    return Draft(
        action=f"{source.removesuffix('.amazonaws.com')}.{_text(record, 'eventName')}",
        category=str(record.get("eventCategory") or "Management").lower(),
        actor=_actor(_object(record.get("userIdentity"), "userIdentity")),
        target=_target(record.get("resources")),
        payload={name: value for name, value in record.items() if name not in OUTSIDE_PAYLOAD},
        metadata={"source": "cloudtrail", "eventSource": source},
        context={"traceId": _trace_id(record)},
        occurred_at=_moment(record),
    )


def _actor(identity: Mapping[str, Any]) -> dict[str, Any]:
    name = identity.get("userName") or identity.get("invokedBy") or identity.get("type") or "unknown"
    return {"id": identity.get("arn") or identity.get("principalId") or name, "name": name, "identity": dict(identity)}


def _target(resources: Any) -> dict[str, Any] | None:
    if not resources:
        return None
    if not isinstance(resources, list):
        raise InvalidDraft("resources", f"is a {type(resources).__name__}; it must be a list")
    first = _object(resources[0], "resources[0]")
    return {"type": first.get("type"), "id": first.get("ARN")}


def _trace_id(record: Mapping[str, Any]) -> str | None:
    """Some services write a number as `requestID`; the payload keeps it, but it is no trace id."""
    request_id = record.get("requestID")
    return request_id if isinstance(request_id, str) else None


def _moment(record: Mapping[str, Any]) -> datetime:
    try:
        return read_moment(record["eventTime"])
    except ValueError as error:
        raise InvalidDraft("eventTime", str(error)) from None


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str) or not value:
        raise InvalidDraft(name, f"is {str(value)[:64]!r}; it must be a text")
    return value


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value or {}, dict):
        raise InvalidDraft(path, f"is a {type(value).__name__}; it must be a JSON object")
    return value or {}
