"""What an erasure changes in a row: decided by the row alone, without touching it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from audit.models import AuditEvent
from audit.personal_data import Erasable
from gdpr.erasures import naming
from gdpr.erasures.looking import stored_in, values_of
from gdpr.erasures.values import replace
from gdpr.subjects import Subject


@dataclass(frozen=True, slots=True)
class Change:
    """What is to stand in a row instead, by column, and which values the pseudonym replaces there (by number).

    Of a row that goes as a whole there is neither. `named` are the columns in which the person is named.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    replaced: Mapping[str, list[int]] = field(default_factory=dict)
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Whom:
    """The person, and what stands in place of whatever names them."""

    person: Subject
    pseudonym: str


def change_of(table: Erasable, row: models.Model, whom: Whom, *, follows: bool) -> Change | None:
    """The change of a row, which has what `fields_of` names; None if there is nothing to change.

    A row that names the person is about them, and so is one that `follows` a row that does.
    """
    opened = {column: value for column, value in values_of(table, row).items() if column not in table.proved}
    find = naming.in_event if table.model is AuditEvent else naming.in_row
    found = find(opened, whom.person)
    if not found and not follows:
        return None
    if table.deleted:
        return Change(named=frozenset(found))
    stored = stored_in(table, row)
    replaced = {column: numbers for column, numbers in found.items() if column not in table.emptied}
    values = {}
    for column, numbers in replaced.items():
        pseudonym = f"{whom.pseudonym}-{row.pk}" if column in table.numbered else whom.pseudonym
        written = replace(opened[column], numbers, pseudonym)
        form = table.forms.get(column)
        values[column] = form.write(stored[column], written, pseudonym) if form else written
    # What is empty already stays as it is: none and null of JSON are the same here, and not in the table.
    values |= {column: empty for column, empty in table.emptied.items() if stored[column] != empty}
    return Change(values, replaced, frozenset(found)) if values else None
