"""Pages of a list: a cursor is the place of the last row shown, so that rows added meanwhile move nothing."""

import base64
import json
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from ninja import Query, Schema
from pydantic import Field

from audit.api.errors import invalid

MOST = 500
M = TypeVar("M", bound=models.Model)


class PageRequest(Schema):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=MOST)] = 100
    cursor: str | None = None


Page = Annotated[PageRequest, Query()]


def page(
    rows: "models.QuerySet[M]", request: PageRequest, *, by: str, item: Callable[[M], Any]
) -> tuple[list[Any], str | None]:
    """One page of `rows`, newest first by the field `by` (unique), and the cursor of the next one, if there is one.

    Raises ApiError 422 for a cursor that no page gave.
    """
    if request.cursor:
        field = rows.model._meta.get_field(by)  # noqa: SLF001  Django's public way to a model's fields
        rows = rows.filter(**{f"{by}__lt": _decode(request.cursor, field)})
    found = list(rows.order_by(f"-{by}")[: request.limit + 1])
    shown = found[: request.limit]
    following = _encode(getattr(shown[-1], by)) if len(found) > len(shown) else None
    return [item(row) for row in shown], following


def _encode(place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(str(place)).encode()).decode().rstrip("=")


def _decode(cursor: str, field: Any) -> Any:
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return field.to_python(place)
    except (ValueError, DjangoValidationError):  # binascii.Error, JSONDecodeError and UnicodeError are ValueErrors
        raise invalid("cursor", "is not a cursor of this list; take `nextCursor` as it came") from None
