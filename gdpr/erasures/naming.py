"""Which values of a row are a person's: the definition of "erased" for whoever signs an erasure."""

from collections.abc import Mapping
from typing import Any

from gdpr.erasures.values import values
from gdpr.subjects import Subject


def in_row(columns: Mapping[str, Any], subject: Subject) -> dict[str, list[int]]:
    """By column of a row, the numbers of the values that are the subject's; columns without any are left out."""
    found = {
        column: [each.number for each in values(document) if subject.matches(each.value)]
        for column, document in columns.items()
    }
    return {column: numbers for column, numbers in found.items() if numbers}


def in_event(columns: Mapping[str, Any], subject: Subject) -> dict[str, list[int]]:
    """The same of an event, of which `columns` has the actor, the target, the payload and so on."""
    return in_row(columns, subject)
