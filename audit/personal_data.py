"""Where each app declares its tables to exports and erasures, so that gdpr covers them without importing them.

Complete by construction: a test holds the declarations against the live schema, table by table and column by column.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import models

from audit.models.company import Company


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


def disclose(recipients: Recipients) -> Recipients:
    """Declare who receives data of a company: `recipients(company)` names them, those of the past too."""
    _recipients.append(recipients)
    return recipients


def covered() -> tuple[Covered, ...]:
    return tuple(_covered)


def excluded() -> tuple[Excluded, ...]:
    return tuple(_excluded)


def recipients_of(company: Company) -> list[Recipient]:
    """All who receive or received data of a company, the first first."""
    return sorted((one for name in _recipients for one in name(company)), key=lambda one: one.since)
