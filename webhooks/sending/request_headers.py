import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

USER_AGENT: Final = "HyreLog/0.1"
"""Sent where a request names no User-Agent of its own."""

_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)  # a token (RFC 9110, 5.6.2)
_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?", re.ASCII)  # visible ASCII, spaces only within
_OURS: Final = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class MalformedHeader(ValueError):
    """A request header that must not go on the wire; `rule` says why. The message never shows a value."""

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"header {name if _NAME.fullmatch(name) else repr(name[:40])}: {rule}")
        self.rule = rule


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse header fields that would end a line early or change the framing; raises `MalformedHeader`."""
    for name, value in headers.items():
        if rule := _rule_against(name):
            raise MalformedHeader(name, rule)
        if not _VALUE.fullmatch(value):
            raise MalformedHeader(name, "its value contains a character other than visible ASCII")


@lru_cache(maxsize=256)
def _rule_against(name: str) -> str:
    if not _NAME.fullmatch(name):
        return "is not a header name (RFC 9110, 5.1)"
    if name.lower() in _OURS:
        return "is set by the transport alone"
    return ""
