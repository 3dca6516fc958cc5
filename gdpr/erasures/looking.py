"""What an erasure looks through: the rows of a company in an erasable table, by the columns that may name a person."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, models

from audit.drafts import SYSTEM_CATEGORY
from audit.erasing import ERASED
from audit.models import AuditEvent, Company
from audit.personal_data import Erasable, erasable
from gdpr.searching import search
from gdpr.selecting import Selection, lowest
from gdpr.subjects import Subject
from jobs.models import Job

MAY_NAME = (models.JSONField, models.CharField, models.TextField)
"""Columns that can hold the identifier of a person."""
NOT_RECORDS = f"NOT (\"category\" = '{SYSTEM_CATEGORY}' AND \"action\" = '{ERASED}')"
"""The records of erasures are what the erased events are verified by: no erasure touches them."""
ENCRYPTED_ROWS = 100
"""That are read and opened at once."""
NO_LINE = "''::text"
"""An erasure writes no file: rows need no line."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A table as gdpr.searching looks through it for an erasure: by its own columns, whatever a row follows."""

    model: type[models.Model]
    redact: frozenset[str]
    follows: None = None
    leader: None = None

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001  Django's public way to a table's name


@dataclass(frozen=True, slots=True)
class Sighting:
    """A part of what was looked through: of each row in which the person may be named, in which columns they are.

    `shut` are the columns, row by row, that no key opens any more.
    """

    looked_at: int
    named: dict[Any, list[str]] = field(default_factory=dict)
    shut: list[str] = field(default_factory=list)

    def keys_to_erase(self, table: Erasable) -> Iterator[Any]:
        """The rows in which something that names the person can be replaced."""
        for key, columns in self.named.items():
            if any(column not in table.proved for column in columns):
                yield key

    def proved(self, table: Erasable) -> Iterator[str]:
        """The place of each value that names the person and must stay, or that may name them, as `table.column`."""
        for columns in self.named.values():
            yield from (f"{table.table}.{column}" for column in columns if column in table.proved)
        yield from (f"{table.table}.{column}" for column in self.shut)


def fields_of(table: Erasable) -> dict[str, Any]:
    """By column, the fields that may name a person: JSON and texts but for the kept ones, and whatever is emptied."""
    fields = _by_column(table).items()
    may_name = {name: one for name, one in fields if isinstance(one, MAY_NAME) or name in table.emptied}
    return {name: one for name, one in may_name.items() if name not in table.kept}


def key_of(table: Erasable) -> Any:
    """The field of the primary key."""
    return table.model._meta.pk  # noqa: SLF001


def selection_of(table: Erasable, company: Company, *, but_job: uuid.UUID | None = None) -> Selection | None:
    """The rows of a company up to the highest key that there is now; None if there are none, or nothing to look at.

    Rows of one job can be left out, with all that follows it.

    Without that end, one that goes on adding rows would keep whoever looks from ending.
    """
    key, looked_at = key_of(table), fields_of(table)
    where = f"({table.whose})" + (f" AND {NOT_RECORDS}" if table.model is AuditEvent else "")
    if but_job and (of_job := _of_job(table)):
        where += f" AND \"{of_job}\" <> '{but_job}'"
    latest = _latest(table, where, company)
    if latest is None or not looked_at:
        return None
    left_out = _by_column(table).keys() - {key.column, *looked_at, *table.own_by} | set(_encrypted(table))
    return Selection(
        Looked(table.model, frozenset(left_out)),
        where=f'{where} AND "{key.column}" <= %s',
        values=(company.pk, latest),
        keyset=f'"{key.column}"',
        first=lowest(key),
    )


def look(table: Erasable, selection: Selection, person: Subject) -> Iterator[Sighting]:
    """Where the person is named in a table, in parts of bounded size; whatever rows follow is none of it."""
    plain = [column for column in fields_of(table) if column not in _encrypted(table)]
    key = key_of(table)
    for found in search(selection, person, line=NO_LINE):
        rows = ((key.to_python(row[key.column]), row) for row in found.rows)
        yield Sighting(found.looked_at, {pk: _naming(_marked(table, row), plain, person) for pk, row in rows})
    for keys in _keys_of_encrypted(table, selection):
        sighting = Sighting(0)
        for row in rows_of(table, keys):
            sighting.shut.extend(_shut_in(table, row))
            values = values_of(table, row)
            if not _naming(values, plain, person):  # by which it was found above
                sighting.named[row.pk] = naming_columns(table, values, person)
        yield sighting


def naming_columns(table: Erasable, row: Mapping[str, Any], person: Subject) -> list[str]:
    """The columns of a row in which the person is named."""
    return _naming(row, fields_of(table), person)


def followers_of(table: Erasable) -> list[Erasable]:
    """The tables whose rows follow the rows of this one."""
    return [one for one in erasable() if one.follows is not None and _leader_of(one) is table.model]


def keys_following(follower: Erasable, leaders: Sequence[Any], *, most: int) -> Iterator[list[Any]]:
    """The keys of the rows that follow these, in order, so many at once at the most."""
    assert follower.follows is not None  # noqa: S101  one of `followers_of`
    followed = _by_column(follower)[follower.follows].attname
    rows = follower.model._base_manager.filter(**{f"{followed}__in": leaders}).order_by("pk")  # noqa: SLF001
    after: dict[str, Any] = {}
    while keys := list(rows.filter(**after).values_list("pk", flat=True)[:most]):
        yield keys
        after = {"pk__gt": keys[-1]}


def rows_of(table: Erasable, keys: Sequence[Any]) -> models.QuerySet[Any]:
    """The rows of those keys that there still are, in their order: of events all columns, of others those looked at."""
    rows = table.model._base_manager.filter(pk__in=keys).order_by("pk")  # noqa: SLF001  also what managers hide
    if table.model is AuditEvent:
        return rows
    return rows.only("pk", *(one.name for one in fields_of(table).values()), *table.own_by)


def values_of(table: Erasable, row: models.Model) -> dict[str, Any]:
    """By column, what of a row is looked at: what is encrypted comes in the clear, and HyreLog's own words marked."""
    stored = stored_in(table, row)
    opened = {column: _open(table, column, value) for column, value in stored.items()}
    seen = _marked(table, opened | {column: getattr(row, column) for column in table.own_by})
    return {column: seen[column] for column in stored}


def stored_in(table: Erasable, row: models.Model) -> dict[str, Any]:
    """The same as it stands in the row."""
    return {column: getattr(row, one.attname) for column, one in fields_of(table).items()}


def _naming(row: Mapping[str, Any], columns: Iterable[str], person: Subject) -> list[str]:
    return [column for column in columns if person.matches(row[column])]


def _marked(table: Erasable, row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**row, **table.own(row)} if table.own else row


def _shut_in(table: Erasable, row: models.Model) -> list[str]:
    stored = stored_in(table, row)
    return [name for name, form in table.forms.items() if form.is_shut and form.is_shut(stored[name])]


def _encrypted(table: Erasable) -> list[str]:
    """The columns that no search can look into."""
    return [column for column, form in table.forms.items() if form.read]


def _open(table: Erasable, column: str, value: Any) -> Any:
    form = table.forms.get(column)
    return form.read(value) if form and form.read else value


def _keys_of_encrypted(table: Erasable, selection: Selection) -> Iterator[list[Any]]:
    """The keys of the rows in which something encrypted stands, in parts."""
    filled = " OR ".join(f"\"{column}\"::text <> ''" for column in _encrypted(table))
    if not filled:
        return
    keyset, after = selection.keyset, selection.first
    statement = (
        f'SELECT {keyset} FROM "{table.table}" WHERE {selection.where} AND ({filled}) AND {keyset} > %s'  # noqa: S608
        f" ORDER BY {keyset} LIMIT {ENCRYPTED_ROWS}"
    )
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, [*selection.values, after])
            keys = [key for (key,) in cursor.fetchall()]
        if not keys:
            return
        yield keys
        after = keys[-1]


def _leader_of(follower: Erasable) -> Any:
    if follower.leader is not None or follower.follows is None:
        return follower.leader
    return _by_column(follower)[follower.follows].related_model


def _by_column(table: Erasable) -> dict[str, Any]:
    return {str(one.column): one for one in table.model._meta.concrete_fields}  # noqa: SLF001


def _of_job(table: Erasable) -> str | None:
    """The column by which a row of the app of jobs is known to be of a job."""
    if table.model is Job:
        return str(key_of(table).column)
    return table.follows if table.follows and _leader_of(table) is Job else None


def _latest(table: Erasable, where: str, company: Company) -> Any:
    key = key_of(table).column
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT "{key}" FROM "{table.table}" WHERE {where} ORDER BY "{key}" DESC LIMIT 1',  # noqa: S608  names
            [company.pk],
        )
        row = cursor.fetchone()
    return row and row[0]
