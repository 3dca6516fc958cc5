"""Which events a webhook wants: patterns in which `*` stands for any run of characters."""

from collections.abc import Sequence


def matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of the patterns, such as `user.*`, fits the whole of `text`, case included."""
    return any(_fits(pattern, text) for pattern in patterns)


def _fits(pattern: str, text: str) -> bool:
    """In one pass: a regular expression with many `*` would take time without bound, and tenants write these."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first):
        return False
    place = len(first)
    for part in middle:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(text) - len(last) >= place and text.endswith(last)
