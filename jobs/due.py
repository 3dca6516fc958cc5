"""When the next job of a queue is due: what its bell rings for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from jobs import registry
from jobs.models import Pause

PASSED_OVER = 1_000
"""Jobs of other types, paused ones say, behind which nobody looks for the first of some types."""

# Step by step, so that the planner, whatever it knows of the table, cannot take sorting for cheaper.
_FIRST = """
    WITH RECURSIVE step (id, run_at, ours, place) AS (
        (SELECT id, run_at, type = ANY (%(types)s::text[]) OR queue = %(queue)s AND type <> ALL (%(known)s::text[]), 1
         FROM jobs_job
         WHERE status = 'PENDING' AND run_at > %(after)s AND run_at <= %(until)s ORDER BY run_at, id LIMIT 1)
        UNION ALL
        SELECT following.*, place + 1 FROM step CROSS JOIN LATERAL (
            SELECT id, run_at, type = ANY (%(types)s::text[]) OR queue = %(queue)s AND type <> ALL (%(known)s::text[])
            FROM jobs_job AS job
            WHERE status = 'PENDING' AND job.run_at <= %(until)s AND (job.run_at, job.id) > (step.run_at, step.id)
            ORDER BY run_at, id LIMIT 1) AS following
        WHERE NOT step.ours AND place < %(most)s
    )
    SELECT run_at FROM step WHERE ours OR place = %(most)s
"""


def next_due(queue: str, *, now: datetime, until: datetime) -> datetime | None:
    """The first moment up to `until` at which a job of a queue is due.

    Those of types that this release has no handler for are among them: another worker may have one.
    """
    pauses = set(Pause.objects.values_list("kind", "name"))
    if (Pause.Kind.QUEUE, queue) in pauses:
        return None
    paused = [name for kind, name in pauses if kind == Pause.Kind.TYPE]
    types = [each.type for each in registry.handlers_in(queue) if each.type not in paused]
    known = [*paused, *(each.type for each in registry.handlers())]
    first = first_due(types, until=until, queue=queue, known=known)
    return first and max(first, now)


def first_due(
    types: list[str],
    *,
    until: datetime,
    after: datetime | None = None,
    queue: str | None = None,
    known: Sequence[str] = (),
) -> datetime | None:
    """When the first waiting job of these types comes due, up to a moment, after another one.

    In a queue, types that are not `known` count too. Where many jobs of other types are before it, it is one of these:
    whoever looks for jobs then finds none.
    """
    parameters: dict[str, Any] = {
        "types": types,
        "queue": queue,
        "known": list(known),
        "after": after or "-infinity",
        "until": until,
        "most": PASSED_OVER,
    }
    with connection.cursor() as cursor:
        cursor.execute(_FIRST, parameters)
        row = cursor.fetchone()
    return row[0] if row else None
