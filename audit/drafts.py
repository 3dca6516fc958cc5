"""An event as its sender describes it, before it has a place in a chain."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from audit.canonical import UncanonicalValue, check
from audit.moments import check_moment

SYSTEM_CATEGORY = "hyrelog"
"""Of what HyreLog itself did; nobody else may say so."""

MOST_NAME = 200
"""Characters of an action or a category."""
MOST_IDENTIFIER = 255
"""Characters of an actor's id, email and name, of a target's type and of a trace id."""
MOST_TARGET = 2_048
"""Characters of a target's id: the ARN of an object in S3 has more than a thousand."""
MOST_CHARACTERS = 2 * 1024 * 1024
"""Of one event. Each is held in memory whole when it is recorded and on its way to each webhook."""


class InvalidDraft(ValueError):
    """An event that cannot be recorded; `path` names the field as it was sent, `rule` says why."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


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
        """Refuse what no chain may hold. Every way in from outside passes through here. Raises InvalidDraft."""
        _check_name(self.action, "action")
        _check_name(self.category, "category")
        if self.category == SYSTEM_CATEGORY:
            raise InvalidDraft("category", f"{SYSTEM_CATEGORY!r} is reserved for what HyreLog itself does; use another")
        for name in ("actor", "target", "payload", "metadata", "context"):
            _check_object(getattr(self, name), name)
        for name in ("id", "email", "name"):
            _check_identifier(self.actor, name, f"actor.{name}")
        _check_identifier(self.target, "type", "target.type")
        _check_identifier(self.target, "id", "target.id", most=MOST_TARGET)
        _check_identifier(self.context, "traceId", "traceId")
        _check_changes(self.changes)
        _check_occurred_at(self.occurred_at)
        self._check_values()

    def _check_values(self) -> None:
        """Refuse values that the canonical form or jsonb cannot carry, and too many of them."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "occurred_at"}
        context = values.pop("context") or {}
        values |= {_path(name): value for name, value in context.items()}
        try:
            size = sum(check(value, path) for path, value in values.items())
        except UncanonicalValue as error:
            raise InvalidDraft(error.path, error.rule) from None
        if size > MOST_CHARACTERS:
            rule = (
                f"has {size:,} characters, of at most {MOST_CHARACTERS:,}; keep large content elsewhere and send a link"
            )
            raise InvalidDraft("event", rule)


def _path(name: str) -> str:
    """A part of the context as its sender knows it: of these, only the trace id is sent as a field."""
    return name if name == "traceId" else f"context.{name}"


def _check_name(value: object, path: str) -> None:
    if not isinstance(value, str):
        raise InvalidDraft(path, f"is a {type(value).__name__}; it must be a text")
    if not 0 < len(value) <= MOST_NAME:
        raise InvalidDraft(path, f"has {len(value)} characters; it must have 1 to {MOST_NAME}")


def _check_object(value: object, path: str) -> None:
    if value is not None and not isinstance(value, dict):
        raise InvalidDraft(path, f"is a {type(value).__name__}; it must be a JSON object")


def _check_identifier(holder: Mapping[str, Any] | None, name: str, path: str, *, most: int = MOST_IDENTIFIER) -> None:
    value = (holder or {}).get(name)
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidDraft(path, f"is a {type(value).__name__}; it must be a text")
    if len(value) > most:
        raise InvalidDraft(path, f"has {len(value)} characters; it must have at most {most}")


def _check_changes(changes: object) -> None:
    if changes is None:
        return
    if not isinstance(changes, list):
        raise InvalidDraft("changes", f"is a {type(changes).__name__}; it must be a list")
    for index, change in enumerate(changes):
        _check_object(change, f"changes[{index}]")
        if not isinstance((change or {}).get("field"), str):
            raise InvalidDraft(f"changes[{index}].field", "must be a text that names the field that changed")


def _check_occurred_at(moment: object) -> None:
    if moment is None:
        return
    if not isinstance(moment, datetime):
        raise InvalidDraft("occurredAt", f"is a {type(moment).__name__}; it must be a time with an offset")
    try:
        check_moment(moment)
    except ValueError as error:
        raise InvalidDraft("occurredAt", str(error)) from None
