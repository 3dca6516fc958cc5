"""Values of JSON that must have a form: each comes back as it was sent, or a ValueError says where, and which rule.

`where` is how the message names the value.
"""

import re
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any


def fields(sent: Any, where: str, names: Sequence[str], *, optional: Sequence[str] = ()) -> None:
    """Refuse what is no object, or has other fields."""
    if not isinstance(sent, dict) or not set(names) <= sent.keys() <= {*names, *optional}:
        more = f", and may have {', '.join(optional)}" if optional else ""
        raise ValueError(f"{where} must have exactly the fields {', '.join(names)}{more}")


def mapping(sent: Any, where: str) -> dict[str, Any]:
    """An object, of whatever names."""
    if not isinstance(sent, dict):
        raise ValueError(f"{where} must be an object")  # noqa: TRY004
    return sent


def items(sent: Any, where: str) -> list[Any]:
    """A list."""
    if not isinstance(sent, list):
        raise ValueError(f"{where} must be a list")  # noqa: TRY004
    return sent


def text(sent: Any, where: str, *, most: int) -> str:
    """A text that Postgres can hold, of so many characters at the most."""
    if not isinstance(sent, str) or not 0 < len(sent) <= most or "\0" in sent:
        raise ValueError(f"{where} must be a text of 1 to {most} characters, without NUL")
    return sent


def number(sent: Any, where: str) -> int:
    """A whole number, within what JSON carries safely."""
    if type(sent) is not int or not 0 <= sent < 2**53:
        raise ValueError(f"{where} must be a whole number from 0 on")
    return sent


def matching(sent: Any, where: str, pattern: str) -> str:
    """A text of a pattern."""
    if not isinstance(sent, str) or not re.fullmatch(pattern, sent, flags=re.ASCII):
        raise ValueError(f"{where} must match {pattern}")
    return sent


def uuid_of(sent: Any, where: str) -> uuid.UUID:
    """A UUID in its usual spelling."""
    return uuid.UUID(matching(sent, where, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"))


def moment(sent: Any, where: str) -> datetime:
    """A time in UTC, with six digits and Z."""
    text = matching(sent, where, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{where} is no time: {text}") from None
