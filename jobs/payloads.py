"""Typed payloads: what a handler's second parameter says of them, held against what is enqueued."""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from audit.api.errors import path_of, rule_of

_NO_FIELD = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a field that a type does not have."""


class BadPayload(ValueError):
    """A payload breaks a rule of its type; `problems` holds each field with its rule."""

    def __init__(self, job_type: str, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        what = "; ".join(f"{field}: {rule}" for field, rule in problems)
        super().__init__(f"The payload of a job of the type {job_type!r} is refused: {what}.")


class PayloadType:
    """The type that a handler declares for its payloads: a pydantic model or a dataclass."""

    def __init__(self, job_type: str, annotation: Any) -> None:
        self._job_type = job_type
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def read(self, payload: Mapping[str, Any]) -> Any:
        """The payload as its type. Raises BadPayload."""
        try:
            return self._adapter.validate_python(payload)
        except ValidationError as error:
            raise self._refused(error.errors()) from None

    def takes(self, field: str, *, beside: Mapping[str, Any]) -> bool:
        """Whether a payload may have one more field, of whatever value. Raises BadPayload for what is wrong in it."""
        try:
            self._adapter.validate_python({**beside, field: None})
        except ValidationError as error:
            problems = error.errors()
            if any(problem["loc"][:1] == (field,) and problem["type"] in _NO_FIELD for problem in problems):
                self.read(beside)
                return False
            if others := [problem for problem in problems if problem["loc"][:1] != (field,)]:
                raise self._refused(others) from None
        return True

    def _refused(self, problems: Sequence[Mapping[str, Any]]) -> BadPayload:
        named = [(path_of(("payload", *problem["loc"])), rule_of(problem)) for problem in problems]
        return BadPayload(self._job_type, named)


def plain(payload: Any, *, job_type: str) -> dict[str, Any]:
    """A payload as JSON: a mapping as it is, a pydantic model or a dataclass by its fields. Raises BadPayload."""
    if isinstance(payload, BaseModel):
        payload = payload.model_dump(mode="json", by_alias=True)
    elif is_dataclass(payload) and not isinstance(payload, type):
        payload = to_jsonable_python(payload)
    if not isinstance(payload, Mapping):
        raise BadPayload(job_type, [("payload", "must be a JSON object")])
    return dict(payload)
