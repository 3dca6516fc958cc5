"""How far an erasure is, as its job shows it: by the rows that were looked at."""

from audit.personal_data import erasable
from gdpr.erasures.looking import selection_of
from gdpr.estimating import estimate_rows
from jobs.context import JobContext

PASSES = 2
"""That it takes as a rule: one that erases, and one that finds nothing any more."""
LOOKED = 0.95
"""Share of looking in the whole."""


class Meter:
    """Tells the job of each part, and is told there if it should end."""

    def __init__(self, context: JobContext, *, passes: int = PASSES) -> None:
        self._context = context
        self._rows = 0
        selections = (selection_of(table, context.company) for table in erasable())
        self._expected = passes * sum(estimate_rows(selection) for selection in selections if selection)

    def took(self, step: str, rows: int) -> None:
        """So many rows of a table were looked at. Raises jobs.context.Stopped."""
        self._rows += rows
        self._context.progress(LOOKED * min(1.0, self._rows / max(self._expected, 1)), step=step)

    def ending(self, step: str) -> None:
        """All were looked at. Raises jobs.context.Stopped."""
        self._context.progress(LOOKED, step=step)
