"""The wire to a source of reviews: pages of JSON, each of which names the next one by a cursor."""

from datetime import date
from typing import Annotated

import requests
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, ValidationError

from audit.text import storable
from jobs.context import Retryable, Unrecoverable

TIMEOUT = 10.0
"""Seconds to wait for an answer to begin, and between two parts of it."""
LATER = (408, 425, 429)
"""Of the 4xx, those that another request may not get."""
Text = Annotated[str, AfterValidator(storable)]


class SourceReview(BaseModel):
    """A review as a source writes it."""

    id: Annotated[Text, Field(min_length=1, max_length=200)]
    author: Annotated[Text, Field(max_length=200)]
    rating: Annotated[int, Field(ge=1, le=5)]
    text: Text = ""
    written_at: Annotated[AwareDatetime, Field(alias="writtenAt")]


class Page(BaseModel):
    """`total` counts the reviews of all pages; `next` is the cursor of the page that follows, None on the last one."""

    reviews: list[SourceReview]
    total: Annotated[int, Field(ge=0)]
    next: str | None = None


def fetch(url: str, *, since: date, cursor: str | None) -> Page:
    """One page of the reviews that were written since a date. Raises Retryable, Unrecoverable."""
    asked = {"since": since.isoformat()} | ({"cursor": cursor} if cursor else {})
    try:
        answer = requests.get(url, params=asked, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise Retryable(f"The source did not answer ({type(error).__name__}).") from error
    if answer.status_code >= 500 or answer.status_code in LATER:
        raise Retryable(f"The source answered with status {answer.status_code}.")
    if answer.status_code != 200:
        raise Unrecoverable(f"The source answered with status {answer.status_code}; correct the connector.")
    try:
        return Page.model_validate_json(answer.content)
    except ValidationError as error:
        raise Retryable(f"The source answered with no page of reviews ({error.error_count()} faults).") from error
