"""What http.request is asked: what is sent, and what counts as success."""

import json
import re
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from audit.canonical import UncanonicalValue, check
from webhooks.custom_headers import WholeHeaders
from webhooks.options import Url
from webhooks.sending.request import WITHOUT_BODY

LONGEST: Final = 60.0
"""Seconds for a request."""
MOST_SENT: Final = 256 * 1024
"""Bytes of a request's body."""

Sent = TypeVar("Sent")

_MEDIA_TYPE: Final = re.compile(r"[!-.0-~]+/[!-~](?:[ -~]*[!-~])?", re.ASCII)


def _bounded_text(text: str) -> str:
    return _bounded(text, len(text.encode()))


def _bounded_json(value: Any) -> Any:
    try:
        check(value, "")
    except UncanonicalValue as error:
        raise ValueError(f"{error.path} {error.rule}" if error.path else error.rule) from None
    return _bounded(value, len(_json(value)))


def _bounded(value: Sent, size: int) -> Sent:
    if size > MOST_SENT:
        raise ValueError(f"has {size:,} bytes; at most {MOST_SENT:,} are allowed")
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _media_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError("must be a media type such as application/xml")
    return text


MediaType = Annotated[str, StringConstraints(max_length=200), AfterValidator(_media_type)]
Status = Annotated[int, Field(strict=True, ge=200, le=599)]


class HttpRequest(BaseModel):
    """What is sent, and what counts as success."""

    model_config = ConfigDict(extra="forbid")
    url: Url
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET"
    headers: WholeHeaders = {}
    body: Annotated[str, AfterValidator(_bounded_text)] | None = None
    json_body: Annotated[Any, AfterValidator(_bounded_json)] = Field(default=None, alias="json")
    content_type: MediaType | None = Field(default=None, alias="contentType")
    timeout_seconds: Annotated[float, Field(strict=True, ge=1, le=LONGEST)] = Field(default=30, alias="timeoutSeconds")
    expect: Annotated[list[Status], Field(min_length=1, max_length=20)] | None = None

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        sent = [name for name, value in (("body", self.body), ("json", self.json_body)) if value is not None]
        if len(sent) > 1:
            raise ValueError("names both `body` and `json`; send one of them")
        if sent and self.method in WITHOUT_BODY:
            raise ValueError(f"names `{sent[0]}`, but a {self.method} request has no body")
        if self.content_type is not None and not sent:
            raise ValueError("names `contentType`, but neither `body` nor `json`")
        return self

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return (self.body or "").encode() if self.json_body is None else _json(self.json_body)

    @property
    def content_headers(self) -> dict[str, str]:
        if self.body is None and self.json_body is None:
            return {}
        own = "text/plain; charset=utf-8" if self.json_body is None else "application/json"
        return {"Content-Type": self.content_type or own}

    def expects(self, status: int) -> bool:
        """Whether an answer of this status is a success."""
        return 200 <= status < 300 if self.expect is None else status in self.expect
