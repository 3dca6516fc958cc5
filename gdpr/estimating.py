"""How much there is to read, told in a moment: for the progress that is shown, not for what is written."""

import json
from typing import Any

from django.db import connection

from gdpr.reading import columns
from gdpr.selecting import Selection

MOST_COUNTED = 100_000
"""Rows that are counted; of more, the planner's estimate is taken."""


def estimate_rows(selection: Selection) -> int:
    """How many rows are selected, at least about."""
    counted = f'SELECT 1 FROM "{selection.table.table}" WHERE {selection.where} LIMIT {MOST_COUNTED}'  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({counted}) AS counted", selection.values)  # noqa: S608
        rows = int(cursor.fetchone()[0])
    return rows if rows < MOST_COUNTED else max(rows, int(_plan(selection)["Plan Rows"]))


def estimate_bytes(selection: Selection, *, rows: int) -> int:
    """How many bytes so many of the selected rows take as JSON, by what the planner knows of their width."""
    names = sum(len(f'"{column}":,') for column in columns(selection.table))
    return rows * (int(_plan(selection)["Plan Width"]) + names)


def _plan(selection: Selection) -> dict[str, Any]:
    chosen = ", ".join(f'"{column}"' for column in columns(selection.table))
    statement = f'EXPLAIN (FORMAT JSON) SELECT {chosen} FROM "{selection.table.table}" WHERE {selection.where}'  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(statement, selection.values)
        plan = cursor.fetchone()[0]
    found: dict[str, Any] = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return found
