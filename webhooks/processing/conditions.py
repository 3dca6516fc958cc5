"""Conditions on a row's fields."""

import re
from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    model_validator,
)

from webhooks.options import storable

Row = Mapping[str, Any]
Test = Callable[[Row], bool]
MISSING: Final = object()
LONGEST: Final = 1000
"""Characters of a value."""

_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {"lt": lt, "le": le, "gt": gt, "ge": ge}
_NUMBER: Final = re.compile(r"-?[0-9]{1,300}(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def _plain(value: Any) -> Any:
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("must be a text, a number, true, false or null")
    if isinstance(value, str) and len(value) > LONGEST:
        raise ValueError(f"must have at most {LONGEST:,} characters")
    return value


class Condition(BaseModel):
    """What a field has to be.

    Texts are compared with texts and numbers with numbers; whatever differs in kind is unequal, and in no order.
    """

    model_config = ConfigDict(extra="forbid")
    field: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
    op: Literal["eq", "ne", "lt", "le", "gt", "ge", "contains", "exists"]
    value: Annotated[Any, AfterValidator(_plain)] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.op == "exists":
            if self.value is not None and not isinstance(self.value, bool):
                raise ValueError("`value` must be true or false with the operator exists; without it, true is meant")
        elif "value" not in self.model_fields_set:
            raise ValueError(f"`value` is required with the operator {self.op}")
        elif self.op in _ORDERS and not self.suits_text():
            raise ValueError(f"`value` must be a text or a number with the operator {self.op}")
        elif self.op == "contains" and self.value is None:
            raise ValueError("`value` must not be null with the operator contains")
        return self

    def suits_text(self) -> bool:
        """Whether the value is a text, or a number that a text can spell."""
        return isinstance(self.value, str | int | float) and not isinstance(self.value, bool)

    def test(self, *, spelled: bool) -> Test:
        """The condition as a function of a row; `spelled` says that all fields are texts, which may spell numbers."""
        holds = self._holds()
        number = spelled and self.suits_text() and not isinstance(self.value, str) and self.op != "contains"
        if not number:
            return lambda row: holds(find(row, self.field))
        return lambda row: holds(_spelled(find(row, self.field)))

    def _holds(self) -> Callable[[Any], bool]:
        wanted = self.value
        match self.op:
            case "exists":
                there = wanted is not False
                return lambda found: (found is not MISSING and found is not None and found != "") is there
            case "eq":
                return lambda found: _kind(found) is _kind(wanted) and found == wanted
            case "ne":
                return lambda found: _kind(found) is not _kind(wanted) or found != wanted
            case "contains":
                return lambda found: _contains(found, wanted)
        order = _ORDERS[self.op]
        return lambda found: _kind(found) is _kind(wanted) and order(found, wanted)


def find(row: Row, name: str) -> Any:
    """A row's field of that name, or else at that path, whose steps are parted by dots; MISSING where there is none."""
    found = row.get(name, MISSING)
    if found is MISSING and "." in name:
        found = row
        for step in name.split("."):
            found = found.get(step, MISSING) if isinstance(found, Mapping) else MISSING
    return found


def _kind(value: Any) -> type:
    """One for all numbers; True is none."""
    return float if type(value) is int else type(value)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return str(wanted) in found if not isinstance(wanted, bool) else False
    return isinstance(found, list) and any(_kind(item) is _kind(wanted) and item == wanted for item in found)


def _spelled(text: Any) -> Any:
    """The number that a text spells; MISSING for none."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
        return MISSING
    return float(text) if any(sign in text for sign in ".eE") else int(text)
