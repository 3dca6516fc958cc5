"""Text from outside, for a page that people read: nothing in it may be invisible, or make other text look different."""

import re
from typing import Any

_UNSEEN = re.compile(
    "["
    "\0-\x08\x0b-\x1f\x7f-\x9f"  # controls, but tab and line feed
    "\u202a-\u202e\u2066-\u2069"  # what turns the direction of text over (Unicode Annex 9)
    "\u200b\u2028\u2029\u2060-\u2064\u206a-\u206f\ufeff\U000e0000-\U000e0fff"  # what has no width
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"  # what no text may hold
    "]"
)
"""Joiners and marks of direction are not among them: Persian, Arabic, Hindi and emoji are written with them."""


def printable(value: Any) -> Any:
    """A JSON value with its unseen characters named, such as [U+202E], in all its texts; CR LF ends a line."""
    if isinstance(value, str):
        return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", value.replace("\r\n", "\n"))
    if isinstance(value, dict):
        return {printable(name): printable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [printable(part) for part in value]
    return value
