"""Erasing rows other than events once more, by the numbers of the values that were replaced in them.

Such a row is in no chain: nobody can tell one that a restore brought back from one that was changed since. So these are
repeated only where a restore has brought back the time before the erasure was completed, or if an operator says so.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, models

from audit.models import Company
from audit.personal_data import Erasable
from gdpr.erasures.batching import BATCH, PAUSE, Batches, Clock
from gdpr.erasures.changing import Change, Whom
from gdpr.erasures.looking import followers_of, key_of, keys_following, rows_of, stored_in, values_of
from gdpr.erasures.values import replace, values
from gdpr.models import Erasure
from gdpr.subjects import Subject

PATIENCE = 30
"""Times that it waits for rows that somebody is at work on, a second each."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever has it done by hand: nobody takes the work away, and Ctrl+C ends it between two batches or in one."""

    company: Company

    def check(self) -> None:
        """Nothing but an exception ends it."""

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def hold_claim(self) -> None:
        """There is no job whose claim could be lost."""


@dataclass(frozen=True, slots=True)
class Repeats(Batches):
    """Batches of rows that are erased by what is listed of them, whoever the person was."""

    listed: Mapping[str, Mapping[str, Sequence[int]]]

    def decide(self, table: Erasable, row: models.Model, *, follows: bool) -> Change | None:
        """By the numbers in `listed`, by key; a row that follows an erased one loses what goes with that one."""
        numbers = {} if follows else self.listed[str(row.pk)]
        if table.deleted:
            return Change(named=frozenset(numbers))
        stored = stored_in(table, row)
        written = _written(table, row, numbers, self.whom.pseudonym)
        changed = {column: value for column, value in written.items() if value != stored[column]}
        changed |= {column: empty for column, empty in table.emptied.items() if stored[column] != empty}
        return Change(changed, {}, frozenset(changed)) if changed else None

    def hold_everything(self) -> Erasure:
        """Lock the head of the chain alone: no legal hold keeps what was erased before it was placed."""
        self.context.company.system_workspace.chain_head.lock()
        return self.erasure

    def count(self, table: Erasable, keys: Sequence[Any]) -> int:
        """How many of these rows would be changed."""
        return sum(1 for row in rows_of(table, keys) if self.decide(table, row, follows=False))

    def note(
        self, table: Erasable, changes: Mapping[Any, Change], *, follows: bool, before: Sequence[Mapping[str, Any]]
    ) -> None:
        """It is on record already: this is how it is known."""


def repeats(company: Company, erasure: Erasure, *, listed: Mapping[str, Any], clock: Clock) -> Repeats:
    """Those of an erasure, which need not be in the database; of its fields only key and pseudonym count."""
    return Repeats(Operator(company), erasure, Whom(Subject(), erasure.pseudonym), clock, listed)


@dataclass(slots=True)
class Again:
    """How many rows were erased once more, and how many could not be, since somebody is at work on them."""

    changed: int = 0
    busy: int = 0


def repeat_rows(batches: Repeats, table: Erasable, keys: Sequence[Any]) -> Again:
    """Erase rows and what follows them. What follows comes first, as in gdpr.erasures.erasing."""
    again = repeat_followers(batches, table, keys)
    if again.busy:
        return again  # the next attempt must find them again
    return _patiently(batches, table, keys, follows=False, again=again)


def repeat_followers(batches: Repeats, table: Erasable, leaders: Sequence[Any]) -> Again:
    """Erase what follows rows, a delivery before its attempts."""
    again = Again()
    for follower in followers_of(table):
        for keys in keys_following(follower, leaders, most=BATCH):
            _patiently(batches, follower, keys, follows=True, again=again)
            below = repeat_followers(batches, follower, keys)
            again.changed, again.busy = again.changed + below.changed, again.busy + below.busy
    return again


def _patiently(batches: Repeats, table: Erasable, keys: Sequence[Any], *, follows: bool, again: Again) -> Again:
    for _ in range(PATIENCE):
        done = batches.change(table, keys, follows=follows)
        again.changed += done.changed
        keys = done.deferred
        if not keys:
            return again
        batches.context.wait(PAUSE)
    again.busy += len(keys)
    return again


def keys_of(table: Erasable, company: Company, texts: Iterable[str], *, until: datetime) -> list[Any]:
    """The primary keys that these texts are, as far as the company has such rows.

    A key that is no UUID may have been given once more after a restore, to a row of anybody. So it counts only where
    the row is not younger than `until`, the end of the erasure; without a time in it, nobody can tell.
    """
    key, asked = key_of(table), []
    for text in texts:
        with suppress(ValidationError):
            asked.append(key.to_python(text))
    old, values_of_old = ("TRUE", []) if isinstance(key, models.UUIDField) else (_is_old(table), [until])
    statement = (
        f'SELECT "{key.column}" FROM "{table.table}" WHERE ({table.whose})'  # noqa: S608  names
        f' AND "{key.column}" = ANY(%s) AND {old}'
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [company.pk, asked, *values_of_old])
        return sorted(found for (found,) in cursor.fetchall())


def _is_old(table: Erasable) -> str:
    """The condition, with one parameter, that a row has a time of before, such as that of its making."""
    fields = table.model._meta.concrete_fields  # noqa: SLF001  Django's public way to a table's columns
    times = ", ".join(f'"{one.column}"' for one in fields if isinstance(one, models.DateTimeField))
    return f"LEAST({times or 'NULL::timestamptz'}) <= %s"


def _written(table: Erasable, row: models.Model, listed: Mapping[str, Sequence[int]], pseudonym: str) -> dict[str, Any]:
    """What is to stand in the columns that are listed, and that erasures change."""
    stored, opened, made = stored_in(table, row), values_of(table, row), {}
    for column, numbers in listed.items():
        document = opened.get(column)
        if document is None or column in table.proved or _stands(pseudonym, document):
            continue
        mine = f"{pseudonym}-{row.pk}" if column in table.numbered else pseudonym
        form = table.forms.get(column)
        written = replace(document, _known(document, numbers), mine)
        made[column] = form.write(stored[column], written, mine) if form else written
    return made


def _known(document: Any, numbers: Sequence[int]) -> Sequence[int]:
    """The numbers, or all there are where one is beyond them: then the document is not the one they were of."""
    last = sum(1 for _ in values(document)) - 1
    return numbers if not numbers or max(numbers) <= last else range(last + 1)


def _stands(pseudonym: str, document: Any) -> bool:
    return any(isinstance(each.value, str) and each.value.startswith(pseudonym) for each in values(document))
