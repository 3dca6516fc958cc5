"""Who an export is about."""

from dataclasses import dataclass
from typing import Any


class InvalidSubject(ValueError):
    """A subject that nothing can be asked about; `path` names the member as it was sent, `rule` says why."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Subject:
    """The identifiers of a person."""

    actor_ids: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: Any) -> "Subject":
        """The subject that a JSON value names. Raises InvalidSubject."""
        for number, email in enumerate(value.get("email", ())):
            if "@" not in email:
                raise InvalidSubject(f"subject.email[{number}]", "is no e-mail address")
        if not value.get("actorId") and not value.get("email"):
            raise InvalidSubject("subject", "has 0 identifiers")
        return cls(actor_ids=tuple(value.get("actorId", ())), emails=tuple(value.get("email", ())))

    def as_json(self) -> dict[str, list[str]]:
        """The identifiers, as they stand in a manifest."""
        named = {"actorId": list(self.actor_ids), "email": list(self.emails)}
        return {name: values for name, values in named.items() if values}
