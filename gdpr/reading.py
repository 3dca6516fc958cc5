"""Reading rows as texts: by keyset, in parts, each a short statement of its own and one value made by Postgres.

One long snapshot would keep the database from clearing dead rows, and so slow down every claim while it lasts. A value
for each row would have Python take as long as Postgres.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connection

from audit.checkpoints import Links
from gdpr.selecting import Selection, Table

PART = 1_000
"""Rows of one statement, at the most. Values of more than a megabyte cost Postgres a third more for each row."""
PART_BYTES = 1024 * 1024
"""Bytes of one statement's rows, as far as their sizes are known beforehand; one row comes in any case."""
MOST_COMPRESSED = {"pglz": 88, "lz4": 255}
"""How many bytes one stored byte stands for at the most: a copy of 273 bytes takes pglz 3⅛, lz4 counts 255 a byte."""
VARIABLE = ("JSONField", "TextField", "BinaryField")
"""Columns whose values may be large. All others are small enough for their number to bound them."""
AS_JSON = "row_to_json(chosen)::text || E'\\n'"
"""A row's line, as an expression of SQL over `chosen`."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows that follow one another: how many, their lines in UTF-8, and what ties them if they are events."""

    rows: int
    text: bytes
    links: Links | None = None


def read(selection: Selection, *, line: str = AS_JSON, linked: bool = False) -> Iterator[Part]:
    """The selected rows in parts of bounded size, without the redacted columns; `linked` for events of one chain."""
    statement, after, limit = _statement(selection, line=line, linked=linked), selection.first, PART
    while True:
        rows, keys, text, *links = fetch(statement, [*selection.values, after, limit, PART_BYTES])
        if not rows:
            return
        yield Part(rows, text, Links(keys, *links) if linked else None)
        after = keys[-1]
        # Where bytes were the bound, looking at 1,000 rows for each few would be in vain.
        limit = min(PART, 2 * rows + 8)


def columns(table: Table) -> list[str]:
    """The columns that are read."""
    fields = table.model._meta.concrete_fields  # noqa: SLF001  Django's public way to a model's fields
    names = [field.attname if field.column is None else field.column for field in fields]
    return [name for name in names if name not in table.redact]


def fetch(statement: str, values: list[Any]) -> tuple[Any, ...]:
    """One row, in binary: as text, each byte of the lines would come as two. Django's own cursors cannot ask for it."""
    with connection.cursor(), connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, values, binary=True)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  an aggregate has one
    return tuple(row)


def _statement(selection: Selection, *, line: str, linked: bool) -> str:
    """One part: rows in keyset order, up to the one whose predecessors take PART_BYTES together.

    Names come from the models and the declarations, never from outside; values are parameters. Aggregates take rows in
    the order in which the subquery yields them.
    """
    table, keyset = selection.table, selection.keyset
    chosen = ", ".join(f'"{column}"' for column in columns(table))
    before = f"ORDER BY {keyset} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    links = ', array_agg("prev_hash"), array_agg("hash")' if linked else ""
    return (
        f"SELECT count(*), array_agg({keyset}), convert_to(string_agg({line}, ''), 'UTF8'){links} FROM ("  # noqa: S608
        f"SELECT {chosen} FROM ("
        f"SELECT {chosen}, sum({weight(table)}) OVER ({before}) AS before FROM ("
        f'SELECT {chosen} FROM "{table.table}" WHERE {selection.where} AND {keyset} > %s ORDER BY {keyset} LIMIT %s'
        f") AS looked_at) AS weighed WHERE before IS NULL OR before < %s ORDER BY {keyset}) AS chosen"
    )


def weight(table: Table) -> str:
    """How many bytes a row may take, told from what is stored: to unpack each value only to size it costs much."""
    cases = " ".join(f"WHEN '{method}' THEN {times}" for method, times in MOST_COMPRESSED.items())
    large = [f.column for f in table.model._meta.concrete_fields if f.get_internal_type() in VARIABLE]  # noqa: SLF001
    sizes = [
        f'coalesce(pg_column_size("{column}") * CASE pg_column_compression("{column}") {cases} ELSE 1 END, 0)'
        for column in large
        if column not in table.redact
    ]
    return " + ".join(["0", *sizes])
