"""The one byte form of a JSON value (RFC 8785), and what is refused because it has none that survives storage."""

import math
from typing import Any

import rfc8785

MAX_DEPTH = 64
CONTAINER = 64
"""What an array or an object costs beside what is in it: bytes, once it is read into memory."""
MAX_INTEGER = 2**53 - 1


class UncanonicalValue(ValueError):
    """A JSON value that the canonical form or jsonb cannot carry; `path` says where, `rule` says why."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


def canonical(value: Any) -> bytes:
    """`value` as RFC 8785 JSON in UTF-8; call `check` first on what comes from outside."""
    return rfc8785.dumps(value)


def check(value: Any, path: str) -> int:
    """Refuse what would not come back from jsonb as it went in, or has no canonical form; say how large the rest is.

    Raises UncanonicalValue, naming the path from `path` on: NUL, lone surrogates, non-finite numbers, integral numbers
    beyond ±(2^53 - 1) (RFC 8785 section 3.2.2.3, RFC 7493 section 2.2), and nesting deeper than 64. The size is
    roughly what the value costs: its characters as it is stored, and something for each array and object.
    """
    return _check(value, path, 1)


def _check(value: Any, path: str, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise UncanonicalValue(path, f"is nested deeper than {MAX_DEPTH} levels; send a flatter value")
    match value:
        case str():
            return _check_text(value, path)
        case bool() | None:
            return 5
        case int() | float():
            return _check_number(value, path)
        case dict():
            names = sum(_check_text(key, f"{path}.{_printable(key)} (the name)") for key in value)
            items = (_check(item, f"{path}.{_printable(key)}", depth + 1) for key, item in value.items())
            return names + sum(items) + CONTAINER
        case list():
            return sum(_check(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)) + CONTAINER
        case _:
            raise UncanonicalValue(path, f"is a {type(value).__name__}, not a JSON value")


def _check_text(text: str, path: str) -> int:
    if "\x00" in text:
        raise UncanonicalValue(path, "contains the character U+0000, which cannot be stored; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UncanonicalValue(path, "contains a lone surrogate, which is not text; send valid Unicode") from None
    return len(text) + 3


def _number_size(number: float) -> int:
    """What a number costs once it is stored: jsonb writes 1e-300 with three hundred digits."""
    return 24 + max(0, -math.floor(math.log10(abs(number)))) if number else 24


def _check_number(number: float, path: str) -> int:
    if not math.isfinite(number):
        raise UncanonicalValue(path, f"is {number}; only finite numbers are JSON")
    if abs(number) > MAX_INTEGER and number == int(number):
        raise UncanonicalValue(path, "is a whole number beyond ±(2^53 - 1); send it as a string")
    return _number_size(number)


def _printable(key: str) -> str:
    return key.encode("ascii", "backslashreplace").decode()[:64]
