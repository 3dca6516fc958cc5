"""Where each app declares its tables to exports and erasures, so that gdpr covers them without importing them.

Complete by construction: a test holds the declarations against the live schema, table by table and column by column.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models

from audit.models.company import Company

OUR_WORD = "A word of HyreLog's own programs, of which there are a few; none names anybody."
RANDOM = "Random, or made of what is random: it says nothing of anybody."
"""Why erasures keep many a column."""


@dataclass(frozen=True, slots=True)
class Covered:
    """A table that carries a tenant: its rows are exported, but for the redacted columns.

    `follows` names the foreign key to a covered table whose row a row of this one belongs to: it is about whomever
    that one is about. `leader` is that table where it is another one of the same key.
    """

    model: type[models.Model]
    meaning: str
    kept: str
    columns: Mapping[str, str]
    company_column: str = "company_id"
    follows: str | None = None
    leader: type[models.Model] | None = None
    redact: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001  Django's public way to a table's name


@dataclass(frozen=True, slots=True)
class Excluded:
    """A table that no export holds, and why."""

    model: type[models.Model]
    reason: str

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001


Found = Mapping[Any, Collection[str]]
"""Rows that an erasure found, by key: the columns of each that name the person; none where it follows one that does."""
Ready = Callable[[Found, datetime], set[Any]]
"""`ready(found, now)`: the keys of these rows that can be erased now; the erasure comes back for the others.

Called in the transaction that erases, which holds the rows' locks, before anything was changed; it may ask for the end
of what stands in the way.
"""
Then = Callable[[Found, datetime], object]
"""`then(found, now)`: called in the transaction that erased these rows, once they were changed."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a column is written that cannot bear the pseudonym as it is, or is encrypted.

    `write(stored, replaced, pseudonym)` makes of the value in which the pseudonym stands one that the column may have.
    `read(stored)` opens what is encrypted: it is this that is looked through, and that has numbers. As a search cannot
    look into it where it lies, each row of the company is read that has some. `is_shut(stored)` says whether there is
    something in it that no key opens any more: nobody knows whom it names, so it stays, and is counted as what remains.
    """

    write: Callable[[Any, Any, str], Any]
    read: Callable[[Any], Any] | None = None
    is_shut: Callable[[Any], bool] | None = None


@dataclass(frozen=True, slots=True)
class Erasable:
    """A table in which an erasure looks for the person: in all its JSON and text columns but those of `kept`.

    A row is about the person if one of these names them, or if the row that it follows is. In such a row each value
    that names them is replaced by the erasure's pseudonym, in the columns of `numbered` (which must differ from row to
    row) with the row's key behind it; `forms` says how columns are written that have rules of their own. The columns of
    `emptied` are set to what it says, whether they name anybody or not. The columns of `proved` are looked at and never
    changed. `deleted` says that the whole row goes instead.

    `own(row)` is the row, by column, with HyreLog's own words and ids in it marked (audit.own_words): no id of a person
    is looked for in these. Numbers are of what it gives. It sees the columns of `own_by`, too, which are kept.

    `whose` is the SQL condition on the rows of a company, with one parameter, its id.
    """

    model: type[models.Model]
    whose: str = '"company_id" = %s'
    follows: str | None = None
    leader: type[models.Model] | None = None
    emptied: Mapping[str, Any] = field(default_factory=dict)
    numbered: frozenset[str] = frozenset()
    forms: Mapping[str, Form] = field(default_factory=dict)
    proved: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    deleted: bool = False
    own: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    own_by: frozenset[str] = frozenset()
    ready: Ready | None = None
    then: Then | None = None

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Spared:
    """A table that no erasure touches, and why."""

    model: type[models.Model]
    reason: str

    @property
    def table(self) -> str:
        return self.model._meta.db_table  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody to whom a company's data is disclosed (GDPR, Art. 15(1)(c)); times are of the disclosing."""

    kind: str
    name: str
    destination: str
    receives: str
    since: datetime
    until: datetime | None = None


Recipients = Callable[[Company], Iterable[Recipient]]

_covered: list[Covered] = []
_excluded: list[Excluded] = []
_erasable: list[Erasable] = []
_spared: list[Spared] = []
_recipients: list[Recipients] = []


def cover(  # noqa: PLR0913  all that a declaration says of a table
    model: type[models.Model],
    *,
    meaning: str,
    kept: str,
    columns: Mapping[str, str],
    company_column: str = "company_id",
    follows: str | None = None,
    leader: type[models.Model] | None = None,
    redact: Mapping[str, str] | None = None,
) -> None:
    """Declare that exports hold `model`, whose `company_column` names the tenant.

    `meaning` says what a row is, `columns` what each exported column means, `kept` for how long rows are kept;
    `redact` maps the columns that are left out to the reasons. All of it is read by people who are no developers.
    """
    declared = Covered(model, meaning, kept, columns, company_column, follows, leader, redact or {})
    _covered.append(declared)


def exclude(model: type[models.Model], *, reason: str) -> None:
    """Declare that no export holds `model`, and why."""
    _excluded.append(Excluded(model, reason))


def erase(model: type[models.Model], **how: Any) -> None:
    """Declare that erasures look through `model`; the other parameters are the fields of Erasable.

    `kept` and `proved` map columns to the reasons; they are read by people who are no developers.
    """
    _erasable.append(Erasable(model, **how))


def spare(model: type[models.Model], *, reason: str) -> None:
    """Declare that no erasure touches `model`, and why."""
    _spared.append(Spared(model, reason))


def disclose(recipients: Recipients) -> Recipients:
    """Declare who receives data of a company: `recipients(company)` names them, those of the past too."""
    _recipients.append(recipients)
    return recipients


def covered() -> tuple[Covered, ...]:
    return tuple(_covered)


def excluded() -> tuple[Excluded, ...]:
    return tuple(_excluded)


def erasable() -> tuple[Erasable, ...]:
    return tuple(_erasable)


def spared() -> tuple[Spared, ...]:
    return tuple(_spared)


def recipients_of(company: Company) -> list[Recipient]:
    """All who receive or received data of a company, the first first."""
    return sorted((one for name in _recipients for one in name(company)), key=lambda one: one.since)
