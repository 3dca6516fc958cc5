"""The person whom a request is about, as the API takes them."""

from typing import Any

from audit.api.errors import invalid
from gdpr.subjects import InvalidSubject, Subject

_IDENTIFIERS: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
SUBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {"actorId": _IDENTIFIERS, "email": _IDENTIFIERS},
    "additionalProperties": False,
    "example": {"actorId": "u1", "email": ["ada@example.com"]},
}
"""How the API's description tells of one."""


def read_subject(sent: object) -> Subject:
    """The person that was sent as `subject`; raises ApiError 422."""
    try:
        subject = Subject.read(sent)
    except InvalidSubject as error:
        raise invalid(error.path, error.rule) from None
    if not all(map(str.strip, subject.actor_ids)):
        raise invalid("subject.actorId", "is blank; it must be the id of one person")
    return subject
