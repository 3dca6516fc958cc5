"""Who an export is about."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Subject:
    """The identifiers of a person."""

    actor_ids: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: Any) -> "Subject":
        """The subject that a JSON value names."""
        return cls(actor_ids=tuple(value.get("actorId", ())), emails=tuple(value.get("email", ())))

    def as_json(self) -> dict[str, list[str]]:
        """The identifiers, as they stand in a manifest."""
        named = {"actorId": list(self.actor_ids), "email": list(self.emails)}
        return {name: values for name, values in named.items() if values}
