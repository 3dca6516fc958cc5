"""How Postgres carries statements out: what they read, and by which indexes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

Plan = dict[str, Any]


@contextmanager
def explained() -> Iterator[list[Plan]]:
    """The plans of all statements in here, as they are carried out: each is run once more, and undone."""
    plans: list[Plan] = []

    def explain(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:  # noqa: FBT001
        if sql.split(None, 1)[0] in ("SELECT", "WITH", "UPDATE"):
            execute("SAVEPOINT explained", None, False, context)
            execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql, params, many, context)
            (answer,) = context["cursor"].fetchone()
            plans.append((answer if isinstance(answer, list) else json.loads(answer))[0]["Plan"])
            execute("ROLLBACK TO SAVEPOINT explained", None, False, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def scans(plan: Plan) -> Iterator[Plan]:
    """The parts of a plan that read a table or an index."""
    if "Scan" in plan["Node Type"]:
        yield plan
    for part in plan.get("Plans", []):
        yield from scans(part)


def read_by(scan: Plan) -> float:
    """Rows, or entries of an index, that a scan found, whether or not a filter kept them."""
    dropped = sum(scan.get(why, 0) for why in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))
    return float((scan["Actual Rows"] + dropped) * scan["Actual Loops"])


@dataclass(frozen=True, slots=True)
class Tables:
    """Some tables; `indexes` is how the names of their indexes begin."""

    names: tuple[str, ...]
    indexes: tuple[str, ...]

    def rows_read(self, *plans: Plan) -> float:
        """What plans read of them."""
        return sum(read_by(scan) for scan in self._scans(plans))

    def indexes_read(self, *plans: Plan) -> set[str]:
        """The indexes by which plans read them; a scan of a whole table goes by the name of its kind."""
        ways = {str(scan.get("Index Name", scan["Node Type"])) for scan in self._scans(plans) if scan["Actual Loops"]}
        return ways - {"Bitmap Heap Scan"}

    def _scans(self, plans: tuple[Plan, ...]) -> Iterator[Plan]:
        for scan in (scan for plan in plans for scan in scans(plan)):
            if scan.get("Relation Name") in self.names or scan.get("Index Name", "").startswith(self.indexes):
                yield scan
