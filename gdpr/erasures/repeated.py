"""What became of an erasure when it was repeated."""

from dataclasses import dataclass

from gdpr.erasures.known import Known
from gdpr.models import Erasure

Status = Erasure.Status
THEIR_JOBS = (Status.APPROVED, Status.PROCESSING, Status.FAILED)
"""Erasures whose jobs go on by themselves, or once they are retried, and that complete them."""


@dataclass(slots=True)
class Repeated:
    """What became of an erasure: events and other rows, by what was done with them."""

    known: Known
    status: str | None
    """As the database had it before; None where it did not know the erasure."""
    events: int = 0
    as_they_must: int = 0
    absent: int = 0
    """Events that this database does not have, or that its company does not."""
    whole: int = 0
    """Events of which nobody knew which values were meant, so that all of a part were replaced."""
    rows: int = 0
    rows_absent: int = 0
    busy: int = 0
    """Events and rows that were left as they are, since somebody is at work on them or on what follows them."""
    archives: int = 0
    archives_left: str = ""
    """What kept archives from being deleted, in words; empty if all were."""
    completed: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything of it had come back."""
        return bool(self.events or self.rows or self.completed)
