"""How far an erasure is, as its job shows it: by the rows that were looked at, and by those that were changed."""

from audit.personal_data import erasable
from gdpr.erasures.looking import selection_of
from gdpr.estimating import estimate_rows
from gdpr.models import Erasure
from jobs.context import JobContext

PASSES = 2
"""That it takes as a rule: one that erases, and one that finds nothing any more."""
CHANGED = 50
"""How many rows are looked at in the time in which one is erased: some 7 µs against some 400 µs were measured."""
LOOKED = 0.95
"""Share of all passes in the whole."""
REACHED = "reached"
"""Where the result of a job that is under way says how far it was: the next attempt goes on from there."""


class Meter:
    """Tells the job of each part, and is told there if it should end.

    With `erasure` rows are erased: what was changed so far, by all attempts, counts against what the preview found. It
    never goes back, also where an attempt begins to look from the start. Without, they are only looked at, once.
    """

    def __init__(self, context: JobContext, *, erasure: Erasure | None = None) -> None:
        self._context = context
        self._erasure = erasure
        self._looked = 0
        self._reached = _reached_before(context) if erasure else 0.0
        selections = (selection_of(table, context.company) for table in erasable())
        rows = sum(estimate_rows(selection) for selection in selections if selection)
        self._expected = PASSES * rows + CHANGED * _previewed(erasure) if erasure else rows

    def took(self, step: str, rows: int) -> None:
        """So many rows of a table were looked at. Raises jobs.context.Stopped."""
        self._looked += rows
        done = self._looked + CHANGED * self._changed()
        self._tell(LOOKED * min(1.0, done / max(self._expected, 1)), step)

    def ending(self, step: str) -> None:
        """All were looked at. Raises jobs.context.Stopped."""
        self._tell(LOOKED, step)

    def _tell(self, fraction: float, step: str) -> None:
        self._reached = max(self._reached, fraction)
        self._context.progress(self._reached, step=step, result={REACHED: self._reached} if self._erasure else None)

    def _changed(self) -> int:
        if self._erasure is None:
            return 0
        counts: dict[str, int] = Erasure.objects.values_list("counts", flat=True).get(pk=self._erasure.pk)
        return sum(counts.values())


def _previewed(erasure: Erasure) -> int:
    """Rows that are to be changed, as they were counted before it was approved."""
    return sum((erasure.preview or {}).get("rows", {}).values())


def _reached_before(context: JobContext) -> float:
    """How far an attempt before this one was; 0 where none said so."""
    said = context.job.result
    return float(said.get(REACHED, 0.0)) if isinstance(said, dict) else 0.0
