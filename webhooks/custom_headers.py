"""Request headers that a tenant adds: which are allowed, and how they are shown without their values."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from audit.encryption import HIDDEN
from webhooks.sending.request_headers import MalformedHeader, check_headers

MOST = 20
MOST_CHARACTERS = 4096
"""Of all names and values together."""
TOO_LARGE = f"have more than {MOST_CHARACTERS} characters in all, names included"

_OURS = re.compile(r"(webhook|hyrelog|content|proxy)-.*|traceparent|accept-encoding", re.IGNORECASE | re.DOTALL)


class InvalidHeaders(ValueError):
    """Headers that fit no request, together with what is stored; `path` says where, `rule` says why."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path, self.rule = path, rule


def complete(sent: Mapping[str, str], *, stored: Mapping[str, str]) -> dict[str, str]:
    """The headers, each masked value replaced by the one that is stored under the name. Raises InvalidHeaders."""
    known = {name.lower(): value for name, value in stored.items()}
    headers = {}
    for name, value in sent.items():
        if value == HIDDEN and name.lower() not in known:
            raise InvalidHeaders(f"headers.{name}", f"{HIDDEN} stands for the value that is stored; there is none yet")
        headers[name] = known[name.lower()] if value == HIDDEN else value
    if _too_large(headers):
        raise InvalidHeaders("headers", TOO_LARGE)
    return headers


def _too_large(headers: Mapping[str, str]) -> bool:
    return sum(len(name) + len(value) for name, value in headers.items()) > MOST_CHARACTERS


def _bounded(headers: dict[str, str]) -> dict[str, str]:
    if _too_large(headers):
        raise ValueError(TOO_LARGE)
    return headers


def _check(headers: dict[str, str]) -> dict[str, str]:
    problems = [
        InitErrorDetails(type=PydanticCustomError("header", "{rule}", {"rule": rule}), loc=(name,), input=None)
        for name, rule in _problems(headers)
    ]
    if problems:
        raise ValidationError.from_exception_data("headers", problems)
    return headers


def _problems(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for name, value in headers.items():
        try:
            check_headers({name: value})
        except MalformedHeader as error:
            yield name.encode("ascii", "backslashreplace").decode()[:64], error.rule
            continue
        if _OURS.fullmatch(name):
            yield name, "is set by HyreLog alone"
        elif name.lower() in seen:
            yield name, "stands twice; upper and lower case make no difference in names"
        seen.add(name.lower())


Headers = Annotated[dict[str, str], Field(max_length=MOST), AfterValidator(_check)]
WholeHeaders = Annotated[Headers, AfterValidator(_bounded)]
"""Headers of which none is stored yet: nothing is masked."""
