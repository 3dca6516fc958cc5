"""JSON as senders mean it: what its readers would resolve each in their own way is refused (RFC 7493)."""

import json
from typing import Any


class DuplicateName(ValueError):
    """An object that names one member twice: whichever value a reader keeps, the other is lost (section 2.3)."""

    def __init__(self, name: str) -> None:
        self.name = name[:64]
        super().__init__(f"{self.name!r} stands twice in one object; send each name once")


def loads(text: bytes | str) -> Any:
    """The value of a JSON text, in UTF-8 where it is bytes.

    Raises ValueError for what is no JSON, NaN and Infinity included; DuplicateName; RecursionError for deep nesting.
    """
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) == len(members):
        return found
    names: set[str] = set()
    for name, _ in members:
        if name in names:
            raise DuplicateName(name)
        names.add(name)
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
