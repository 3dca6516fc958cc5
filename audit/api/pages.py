"""Pages of a list: a cursor is the place of the last row shown, so that rows added meanwhile move nothing."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from ninja import Query, Schema
from ninja.responses import NinjaJSONEncoder
from pydantic import Field

from audit.api.errors import invalid

MOST = 500
MOST_CHARACTERS = 8 * 1024 * 1024
"""Of one page's JSON: the row that goes beyond is its last."""
FEW, MANY = 4, 32
"""Rows of the first statement and of later ones: what is in memory before its size is known."""
M = TypeVar("M", bound=models.Model)


class PageRequest(Schema):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=MOST, description="The most of one page.")] = 100
    cursor: Annotated[str | None, Field(description="`nextCursor` of the page before, as it came.")] = None


Page = Annotated[PageRequest, Query()]


def page(
    rows: "models.QuerySet[M]",
    request: PageRequest,
    *,
    by: str,
    item: Callable[[M], Any],
    oldest_first: bool = False,
) -> tuple[list[Any], str | None]:
    """One page of `rows`, newest first by the field `by` (unique), and the cursor of the next one, if there is one.

    Or oldest first. A page has at most `limit` rows, and fewer where these would be more than about 8 MiB of JSON.
    Raises ApiError 422 for a cursor that no page gave.
    """
    field = rows.model._meta.get_field(by)  # noqa: SLF001  Django's public way to a model's fields
    after = _decode(request.cursor, field) if request.cursor else None
    shown: list[Any] = []
    characters = 0
    for row in _in_order(rows, by=by, after=after, most=request.limit + 1, descending=not oldest_first):
        if len(shown) == request.limit or characters >= MOST_CHARACTERS:
            return shown, _encode(after)
        shown.append(item(row))
        characters += len(json.dumps(shown[-1], cls=NinjaJSONEncoder))
        after = getattr(row, by)
    return shown, None


def _in_order(rows: "models.QuerySet[M]", *, by: str, after: Any, most: int, descending: bool) -> Iterator[M]:
    size = FEW
    beyond, order = (f"{by}__lt", f"-{by}") if descending else (f"{by}__gt", by)
    while most > 0:
        rest = rows if after is None else rows.filter(**{beyond: after})
        chunk = list(rest.order_by(order)[: min(size, most)])
        yield from chunk
        if len(chunk) < size:
            return
        most -= len(chunk)
        after = getattr(chunk[-1], by)
        size = min(size * 2, MANY)


def _encode(place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(str(place)).encode()).decode().rstrip("=")


def _decode(cursor: str, field: Any) -> Any:
    try:
        text = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = field.to_python(text) if isinstance(text, str) else None
    except (ValueError, RecursionError, DjangoValidationError):  # JSONDecodeError and UnicodeError are ValueErrors
        place = None
    if place is None or _encode(place) != cursor.rstrip("="):
        raise invalid("cursor", "is not a cursor of this list; take `nextCursor` as it came")
    return place
