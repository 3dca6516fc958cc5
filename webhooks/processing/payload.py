"""What data.process is asked: where the rows are, which of them count, and by what."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from webhooks.custom_headers import WholeHeaders
from webhooks.options import Url, storable
from webhooks.processing.conditions import Condition

MOST_TEXT = 256 * 1024
"""Bytes of an input that stands in the payload itself."""


def _bounded(text: str) -> str:
    size = len(text.encode())
    if size > MOST_TEXT:
        raise ValueError(f"has {size:,} bytes; at most {MOST_TEXT:,} are allowed; give a URL instead")
    return text


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names a field twice")
    return names


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]


class Source(BaseModel):
    """A URL, or the input itself."""

    model_config = ConfigDict(extra="forbid")
    url: Url | None = None
    headers: WholeHeaders = {}
    text: Annotated[str, AfterValidator(_bounded)] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.text is None):
            raise ValueError("must name either `url` or `text`")
        if self.url is None and self.headers:
            raise ValueError("names `headers`, but no `url`")
        return self


class DataProcess(BaseModel):
    """The payload."""

    model_config = ConfigDict(extra="forbid")
    source: Source
    format: Literal["ndjson", "csv"]
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    where: Annotated[list[Condition], Field(max_length=20)] = []
    group_by: Annotated[list[Name], Field(max_length=3), AfterValidator(_once)] = Field(default=[], alias="groupBy")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format != "csv" and self.delimiter is not None:
            raise ValueError("names `delimiter`, which only csv has")
        for place, condition in enumerate(self.where):
            if self.format == "csv" and condition.op != "exists" and not condition.suits_text():
                raise ValueError(f"where[{place}].value must be a text or a number: that is all a csv holds")
        return self
