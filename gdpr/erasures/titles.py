"""What the records of a table are called, for people who do not know the tables of the database."""

from django.apps import apps
from django.utils.text import capfirst

ARCHIVES = "archives"
"""A step of an erasure that is about no table: it deletes files of exports."""


def table_title(table: str) -> str:
    """`Audit events` of `audit_auditevent`; what is no table's name comes back as it is."""
    for model in apps.get_models():
        if model._meta.db_table == table:  # noqa: SLF001  Django's public way to a model's name
            return str(capfirst(model._meta.verbose_name_plural))  # noqa: SLF001
    return "Archives of exports" if table == ARCHIVES else table


def column_title(place: str) -> str:
    """`Audit events: action` of `audit_auditevent.action`."""
    table, _, column = place.partition(".")
    return f"{table_title(table)}: {column.replace('_', ' ')}" if column else table_title(table)
