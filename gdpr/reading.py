"""Reading a company's rows as JSON lines: by keyset, in parts, each a short statement of its own.

One long snapshot would keep the database from clearing dead rows, and so slow down every claim while it lasts.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from django.db import connection

from audit.models import AuditEvent, ChainHead
from audit.personal_data import Covered

PART = 2_000
"""Rows of one statement, at the most."""
PART_BYTES = 4 * 1024 * 1024
"""Bytes of one statement's rows, as far as their sizes are known beforehand; one row comes in any case."""
MOST_COMPRESSED = {"pglz": 88, "lz4": 255}
"""How many bytes one stored byte stands for at the most: a copy of 273 bytes takes pglz 3⅛, lz4 counts 255 a byte."""
VARIABLE = ("JSONField", "TextField", "BinaryField")
"""Columns whose values may be large. All others are small enough for their number to bound them."""


def chain_heads(company_id: uuid.UUID) -> dict[uuid.UUID, int]:
    """How far each of the company's chains reaches now: an export ends there, however many events follow."""
    heads = ChainHead.objects.filter(workspace__company_id=company_id).order_by("workspace_id")
    return {head.workspace_id: head.seq for head in heads}


def read(table: Covered, *, company_id: uuid.UUID, heads: dict[uuid.UUID, int]) -> Iterator[list[str]]:
    """The company's rows of a table, as parts of bounded size, one JSON text a row, without the redacted columns."""
    if table.model is AuditEvent:
        for workspace_id, head in heads.items():
            yield from _parts(table, "workspace_id = %s AND seq <= %s", [workspace_id, head], keyset="seq", first=0)
    else:
        where = f"{table.company_column} = %s"
        yield from _parts(table, where, [company_id], keyset=_key(table).column, first=_lowest(table))


def estimate(table: Covered, *, company_id: uuid.UUID) -> int:
    """How many rows there are to read, for the progress that is shown."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table.table} WHERE {table.company_column} = %s", [company_id])  # noqa: S608
        return int(cursor.fetchone()[0])


def columns(table: Covered) -> list[str]:
    """The columns that are exported."""
    fields = table.model._meta.concrete_fields  # noqa: SLF001  Django's public way to a model's fields
    names = [field.attname if field.column is None else field.column for field in fields]
    return [name for name in names if name not in table.redact]


def _parts(table: Covered, where: str, values: list[Any], *, keyset: str, first: Any) -> Iterator[list[str]]:
    statement, after, limit = _statement(table, where, keyset=keyset), first, PART
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, [*values, after, limit, PART_BYTES])
            rows = cursor.fetchall()
        if not rows:
            return
        yield [row[1] for row in rows]
        after = rows[-1][0]
        # Where bytes were the bound, looking at 2,000 rows for each few would be in vain.
        limit = min(PART, 2 * len(rows) + 8)


def _statement(table: Covered, where: str, *, keyset: str) -> str:
    """One part: rows in keyset order, up to the one whose predecessors take PART_BYTES together.

    Names come from the models and the declarations, never from outside; values are parameters.
    """
    chosen = ", ".join(f'"{column}"' for column in columns(table))
    before = f"ORDER BY {keyset} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
    return (
        f"SELECT {keyset}, row_to_json(chosen)::text FROM (SELECT {chosen} FROM ("  # noqa: S608
        f"SELECT {chosen}, sum({_weight(table)}) OVER ({before}) AS before FROM ("
        f"SELECT {chosen} FROM {table.table} WHERE {where} AND {keyset} > %s ORDER BY {keyset} LIMIT %s"
        f") AS looked_at) AS weighed WHERE before IS NULL OR before < %s) AS chosen ORDER BY {keyset}"
    )


def _weight(table: Covered) -> str:
    """How many bytes a row may take, told from what is stored: to unpack each value only to size it costs much."""
    cases = " ".join(f"WHEN '{method}' THEN {times}" for method, times in MOST_COMPRESSED.items())
    large = [f.column for f in table.model._meta.concrete_fields if f.get_internal_type() in VARIABLE]  # noqa: SLF001
    sizes = [
        f'coalesce(pg_column_size("{column}") * CASE pg_column_compression("{column}") {cases} ELSE 1 END, 0)'
        for column in large
        if column not in table.redact
    ]
    return " + ".join(["0", *sizes])


def _lowest(table: Covered) -> Any:
    """Less than any primary key."""
    key = _key(table)
    while key.is_relation:
        key = key.target_field
    return uuid.UUID(int=0) if key.get_internal_type() == "UUIDField" else -1


def _key(table: Covered) -> Any:
    return table.model._meta.pk  # noqa: SLF001  Django's public way to a primary key
