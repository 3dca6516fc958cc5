"""An event as its sender describes it, before it has a place in a chain."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from audit.canonical import UncanonicalValue, check

MOST_CHARACTERS = 2 * 1024 * 1024
"""Of one event. Each is held in memory whole when it is recorded and on its way to each webhook."""


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
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "occurred_at"}
        size = sum(check(value, name) for name, value in values.items())
        if size > MOST_CHARACTERS:
            rule = (
                f"has {size:,} characters, of at most {MOST_CHARACTERS:,}; keep large content elsewhere and send a link"
            )
            raise UncanonicalValue("event", rule)
