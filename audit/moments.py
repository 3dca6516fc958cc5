"""Times as they come from outside: RFC 3339, and within the years that the database and every reader can hold."""

import re
from datetime import UTC, datetime

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
FIRST_YEAR = 1970


def read_moment(text: object) -> datetime:
    """The moment that a text such as `2026-01-31T12:00:00Z` names (RFC 3339, section 5.6).

    An offset is required; digits beyond microseconds are dropped. Raises ValueError, which says the rule.
    """
    if not isinstance(text, str) or not RFC_3339.fullmatch(text):
        raise ValueError(_no_moment(text))
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(_no_moment(text)) from None
    check_moment(moment)
    return moment


def check_moment(moment: datetime) -> None:
    """Raises ValueError unless `moment` has an offset and lies, in UTC, in the years 1970 to 9999."""
    if moment.utcoffset() is None:
        raise ValueError("has no offset; write a time such as 2026-01-31T12:00:00Z")
    try:
        year = moment.astimezone(UTC).year
    except OverflowError:  # its own year is 1 or 9999, in UTC it is the year before or after
        year = 0
    if year < FIRST_YEAR:
        raise ValueError(f"is {moment.isoformat()}, which is not within the years 1970 to 9999 in UTC")


def _no_moment(text: object) -> str:
    return f"{str(text)[:64]!r} is no time with an offset as RFC 3339 has it; write one such as 2026-01-31T12:00:00Z"
