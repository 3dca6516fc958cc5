"""An event as its sender describes it, before it has a place in a chain."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from audit.canonical import check


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is to be recorded. Only `action` and `category` are required; what was not sent stays None."""

    action: str
    category: str
    actor: Mapping[str, Any] | None = None
    target: Mapping[str, Any] | None = None
    payload: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    changes: list[Mapping[str, Any]] | None = None
    context: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None

    def check(self) -> None:
        """Refuse a value that the chain cannot carry.

        Raises audit.canonical.UncanonicalValue, whose path begins with the field's name.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, datetime):
                check(value, field.name)
