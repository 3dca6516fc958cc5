"""Reading the rows that are about a person: by the same parts as `gdpr.reading`, most rows dropped where they lie.

A row is about a person if one of its columns names them (`gdpr.subjects` says what that means), or if the row that it
follows is about them: the delivery of an event, the attempt of a delivery. Postgres sorts out by a condition that finds
too much rather than too little; what it lets pass is read as JSON and put to the exact test. What a row follows is read
for it, and so counts among its bytes.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models

from audit.checkpoints import Links
from audit.personal_data import covered
from gdpr.reading import AS_JSON, PART, PART_BYTES, Part, columns, fetch, weight
from gdpr.selecting import Selection, Table
from gdpr.subjects import Subject

LOOKED_BYTES = 8 * 1024 * 1024
"""Bytes of the rows that one statement looks at. For 20 identifiers in the largest rows it takes some 0.3 s, and about
a second where both are made to be slow; whoever cancels waits for one statement."""


@dataclass(frozen=True, slots=True)
class Found:
    """A part of what was looked through: its rows that are about the person, by key and as lines."""

    part: Part
    looked_at: int
    rows: Sequence[dict[str, Any]]


def search(selection: Selection, subject: Subject, *, line: str = AS_JSON, linked: bool = False) -> Iterator[Found]:
    """The selected rows that are about a person, in parts; `linked` as in `gdpr.reading.read`, for all looked at."""
    condition, named = _condition(selection.table, subject)
    statement = _statement(selection, condition, line=line, linked=linked)
    after, limit = selection.first, PART
    while True:
        values = [*named, *selection.values, after, limit, LOOKED_BYTES, PART_BYTES]
        keys, jsons, lines, *links = fetch(statement, values)
        if not keys:
            return
        candidates = [json.loads(text) for text in jsons or ()]
        about = _about(selection.table, candidates, subject)
        kept = [n for n, row in enumerate(candidates) if row[_key(selection.table)] in about]
        text = "".join(lines[n] for n in kept).encode()
        tied = Links(keys, *links) if linked else None
        yield Found(Part(len(kept), text, tied), len(keys), [candidates[n] for n in kept])
        after = keys[-1]
        # Where bytes were the bound, looking at all these rows for each few would be in vain.
        limit = min(PART, 2 * len(keys) + 8)


def _about(table: Table, rows: Sequence[dict[str, Any]], subject: Subject) -> set[Any]:
    """The keys of those rows that are about the person, by the exact test."""
    key, named = _key(table), [*_columns(table, json_columns=True), *_columns(table, json_columns=False)]
    about = {row[key] for row in rows if subject.matches([row[column] for column in named])}
    leader, follows = _followed(table), table.follows
    if leader is None or follows is None:
        return about
    left = {row[key]: row[follows] for row in rows if row[key] not in about and row[follows] is not None}
    leaders = _about(leader, _rows(leader, sorted(set(left.values()))), subject) if left else set()
    return about | {one for one, followed in left.items() if followed in leaders}


def _rows(table: Table, keys: Sequence[Any]) -> list[dict[str, Any]]:
    chosen = ", ".join(f'"{column}"' for column in columns(table))
    statement = (
        f"SELECT row_to_json(chosen)::text FROM (SELECT {chosen} "  # noqa: S608  names of the models
        f'FROM "{table.table}" WHERE "{_key(table)}" = ANY(%s)) AS chosen'
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [[uuid.UUID(key) if isinstance(key, str) else key for key in keys]])
        return [json.loads(text) for (text,) in cursor.fetchall()]


def _statement(selection: Selection, condition: str, *, line: str, linked: bool) -> str:
    """One part: keys of all rows looked at, and the JSON and the line of each that fulfils the condition.

    First the rows are bounded by what looking at them takes, then by what the hits among them take. OFFSET 0 has the
    condition put once, to the rows within the first bound only.
    """
    table, keyset = selection.table, selection.keyset
    chosen = ", ".join(f'"{column}"' for column in columns(table))
    hits = ", ".join(f'read."{column}"' for column in columns(table))
    before = f"OVER (ORDER BY {keyset} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before"
    links = ', array_agg("prev_hash"), array_agg("hash")' if linked else ""
    return (
        f"SELECT array_agg({keyset}), array_agg(made.json) FILTER (WHERE hit), "  # noqa: S608  names of the models
        f"array_agg(made.line) FILTER (WHERE hit){links} FROM ("
        f"SELECT {chosen}, hit FROM ("
        f"SELECT {chosen}, hit, sum(CASE WHEN hit THEN weight ELSE 0 END) {before} FROM ("
        f"SELECT {chosen}, weight, coalesce({condition}, FALSE) AS hit FROM ("
        f"SELECT {chosen}, weight, sum(weight) {before} FROM ("
        f"SELECT {chosen}, {_weight(table)} AS weight "
        f'FROM "{table.table}" WHERE {selection.where} AND {keyset} > %s ORDER BY {keyset} LIMIT %s'
        f') AS taken) AS "{table.table}" WHERE before IS NULL OR before < %s ORDER BY {keyset} OFFSET 0'
        f") AS looked_at) AS weighed WHERE before IS NULL OR before < %s ORDER BY {keyset}) AS read "
        f"LEFT JOIN LATERAL (SELECT row_to_json(chosen)::text AS json, {line} AS line "
        f"FROM (SELECT {hits} WHERE read.hit) AS chosen"
        ") AS made ON TRUE"
    )


def _weight(table: Table) -> str:
    """How many bytes a row may take, with the row that it follows."""
    leader = _followed(table)
    if leader is None:
        return weight(table)
    return f"{weight(table)} + coalesce((SELECT {_weight(leader)} {_from(leader, followed_by=table)}), 0)"


def _condition(table: Table, subject: Subject) -> tuple[str, list[Any]]:
    """True of each row of a table that is about the person, and of some others; with its parameters."""
    named, values = subject.condition(
        json_columns=_columns(table, json_columns=True), text_columns=_columns(table, json_columns=False)
    )
    leader = _followed(table)
    if leader is None:
        return named, values
    led, more = _condition(leader, subject)
    # OFFSET 0 has the one row looked up by its key. Postgres would else choose to look at all rows of the leader, those
    # of other companies too, and to do so again for each part.
    followed = f"EXISTS (SELECT {_from(leader, followed_by=table)} AND {led} OFFSET 0)"
    return f"(coalesce({named}, FALSE) OR {followed})", [*values, *more]


def _from(leader: Table, *, followed_by: Table) -> str:
    """The row that a row follows."""
    followed = f'"{followed_by.table}"."{followed_by.follows}"'
    return f'FROM "{leader.table}" WHERE "{leader.table}"."{_key(leader)}" = {followed}'


def _columns(table: Table, *, json_columns: bool) -> list[str]:
    """Of the columns that are read, those that hold JSON, or those that hold texts."""
    kind = models.JSONField if json_columns else (models.CharField, models.TextField)
    fields = table.model._meta.concrete_fields  # noqa: SLF001  Django's public way to a model's fields
    held = {field.column for field in fields if isinstance(field, kind)}
    return [column for column in columns(table) if column in held]


def _followed(table: Table) -> Table | None:
    """The table whose rows a table's rows follow."""
    if table.follows is None:
        return None
    fields = {field.column: field for field in table.model._meta.concrete_fields}  # noqa: SLF001
    led_by = table.leader or fields[table.follows].related_model
    return next(one for one in covered() if one.model is led_by)


def _key(table: Table) -> str:
    return str(table.model._meta.pk.column)  # noqa: SLF001  Django's public way to a primary key
