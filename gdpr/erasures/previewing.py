"""What an erasure would erase, counted before anybody approves it. Nothing is changed, and nothing is locked."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.models import Company
from audit.personal_data import Erasable, erasable
from gdpr.erasures import archives
from gdpr.erasures.batching import BATCH
from gdpr.erasures.changing import Whom, change_of
from gdpr.erasures.looking import (
    Sighting,
    followers_of,
    keys_following,
    look,
    naming_columns,
    rows_of,
    selection_of,
    values_of,
)

Advance = Callable[[str, int], None]
"""`advance(table, rows)`: so many more rows of a table were looked at; what it raises passes."""


@dataclass(slots=True)
class Preview:
    """Rows by table that would be erased; by table and column those that would stay although they name the person."""

    rows: Counter[str] = field(default_factory=Counter)
    remaining: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {"rows": dict(self.rows), "remaining": dict(self.remaining)}


def preview(company: Company, whom: Whom, *, advance: Advance) -> Preview:
    """Count what an erasure would find now, in many short statements."""
    counting = _Counting(whom)
    for table in erasable():
        selection = selection_of(table, company)
        for sighting in look(table, selection, whom.person) if selection else ():
            counting.found(table, sighting)
            advance(table.table, sighting.looked_at)
    if on_record := archives.on_record(company).count():
        counting.preview.rows[archives.TABLE] += on_record
    return counting.preview


class _Counting:
    def __init__(self, whom: Whom) -> None:
        self._whom = whom
        self.preview = Preview()

    def found(self, table: Erasable, sighting: Sighting) -> None:
        """Count rows that name the person, and those that follow them."""
        keys = list(sighting.keys_to_erase(table))
        self._count(table, len(keys))
        self.preview.remaining.update(sighting.proved(table))
        self._count_followers(table, keys)

    def _count(self, table: Erasable, rows: int) -> None:
        if rows:
            self.preview.rows[table.table] += rows

    def _count_followers(self, table: Erasable, leaders: Sequence[Any]) -> None:
        for follower in followers_of(table):
            for keys in keys_following(follower, leaders, most=BATCH):
                self._count_following(follower, keys)

    def _count_following(self, table: Erasable, keys: Sequence[Any]) -> None:
        others = []
        for row in rows_of(table, keys):
            columns = naming_columns(table, values_of(table, row), self._whom.person)
            if any(column not in table.proved for column in columns):
                continue  # it is found by itself, and counted then, with what follows it
            others.append(row.pk)
            self._count(table, change_of(table, row, self._whom, follows=True) is not None)
        self._count_followers(table, others)
