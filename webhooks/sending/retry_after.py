import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


def seconds_until(value: str, *, now: datetime) -> float | None:
    """Read a `Retry-After` field (RFC 9110, 10.2.3): delta-seconds, or a date in any of the three forms of 5.6.7.

    Answers seconds from `now`, zero for a moment that has passed, None for what is neither form.
    """
    value = value.strip()
    if _DELTA_SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # asctime, and "-0000": HTTP dates are always in UTC
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
