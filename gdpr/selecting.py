"""Which rows of a table an export holds: the one place that decides it."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import models

from audit.checkpoints import Reach
from audit.models import Company
from audit.personal_data import Covered

BEFORE_ANY = -(1 << 63)
"""Less than any whole number that a column holds: a forged event of seq 0 must be met, not passed by."""


class Table(Protocol):
    """What reading and searching need to know of a table: one that exports cover, or one that an erasure looks through.

    `redact` are the columns that are not read; `follows` and `leader` are as in audit.personal_data.Covered.
    """

    @property
    def model(self) -> type[models.Model]: ...
    @property
    def table(self) -> str: ...
    @property
    def redact(self) -> Collection[str]: ...
    @property
    def follows(self) -> str | None: ...
    @property
    def leader(self) -> type[models.Model] | None: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of `table` for which the condition `where` holds with `values`, in the order of `keyset` from `first` on.

    Names and conditions come from the models and from code, never from outside; values are parameters.
    """

    table: Table
    where: str
    values: tuple[Any, ...]
    keyset: str
    first: Any


def rows_of_company(table: Covered, company: Company) -> Selection:
    """All rows of a company."""
    key = table.model._meta.pk  # noqa: SLF001  Django's public way to a primary key
    return Selection(
        table,
        where=f'"{table.company_column}" = %s',
        values=(company.pk,),
        keyset=f'"{key.column}"',
        first=lowest(key),
    )


def events_of_chain(table: Table, reach: Reach) -> Selection:
    """The events of a chain, as far as it reached: however many follow meanwhile."""
    return Selection(
        table,
        where='"workspace_id" = %s AND "seq" <= %s',
        values=(reach.workspace_id, reach.seq),
        keyset='"seq"',
        first=BEFORE_ANY,
    )


def lowest(key: Any) -> Any:
    """Less than, or as low as, any value of a primary key."""
    while key.is_relation:
        key = key.target_field
    return uuid.UUID(int=0) if key.get_internal_type() == "UUIDField" else BEFORE_ANY
