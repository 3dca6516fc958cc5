"""Which events a webhook wants: patterns in which `*` stands for any run of characters."""

import re
from collections.abc import Sequence
from functools import lru_cache


def matches(patterns: Sequence[str], text: str) -> bool:
    """Whether one of the patterns, such as `user.*`, fits the whole of `text`, case included."""
    return any(_compiled(pattern).fullmatch(text) for pattern in patterns)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
