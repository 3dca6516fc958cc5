"""The reasons that people give: for a request, for its rejection, for a legal hold."""

from audit.text import storable
from gdpr.models.erasure import MOST_REASON


class InvalidReason(ValueError):
    """A reason that is blank or too long; `rule` says what it must be, and neither repeats what it says."""

    def __init__(self, reason: str) -> None:
        self.rule = f"has {len(reason):,} characters; it must have 1 to {MOST_REASON:,}, beside spaces around it"
        super().__init__(f"The reason {self.rule}.")


def reasoned(reason: str) -> str:
    """The reason as it is kept: what Postgres cannot hold replaced, no spaces around it. Raises InvalidReason."""
    reason = storable(reason).strip()
    if not 0 < len(reason) <= MOST_REASON:
        raise InvalidReason(reason)
    return reason
