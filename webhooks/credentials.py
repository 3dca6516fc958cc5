"""Credentials with which HyreLog introduces itself to an endpoint: what they may be, and the header they make."""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)  # b64token (RFC 6750, section 2.1)


def _printable(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise ValueError("contains a control character (RFC 7617, section 2)")
    return text


def _without_colon(username: str) -> str:
    if ":" in username:
        raise ValueError("contains a colon, which would end it (RFC 7617, section 2)")
    return username


def _b64token(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise ValueError("is no bearer token (RFC 6750, section 2.1); send others as the header Authorization")
    return token


class Basic(BaseModel):
    """Basic authentication (RFC 7617), in UTF-8."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["basic"]
    username: Annotated[
        str, StringConstraints(max_length=255), AfterValidator(_printable), AfterValidator(_without_colon)
    ]
    password: Annotated[str, StringConstraints(max_length=1024), AfterValidator(_printable)]


class Bearer(BaseModel):
    """A bearer token (RFC 6750)."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["bearer"]
    token: Annotated[str, StringConstraints(max_length=4096), AfterValidator(_b64token)]


def _of_its_type(sent: Any) -> Any:
    """Read by its type, so that a problem's place is `authentication.token`, without the name of the type in it."""
    match sent:
        case {"type": "basic"}:
            return Basic.model_validate(sent)
        case {"type": "bearer"}:
            return Bearer.model_validate(sent)
        case _:
            return sent


Credentials = Annotated[Basic | Bearer, Field(discriminator="type"), BeforeValidator(_of_its_type)]


def authorization(credentials: Mapping[str, str]) -> str:
    """The value of the header `Authorization` that stored credentials make."""
    if credentials["type"] == "basic":
        pair = f"{credentials['username']}:{credentials['password']}"
        return f"Basic {b64encode(pair.encode()).decode()}"
    return f"Bearer {credentials['token']}"


def masked(credentials: Mapping[str, str]) -> dict[str, str]:
    """The credentials without what is secret in them."""
    return {name: value for name, value in credentials.items() if name in ("type", "username")}
