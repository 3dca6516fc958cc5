"""`fields.json`: the meaning of each table and of each field."""

from typing import Any

from audit.personal_data import covered


def fields() -> dict[str, dict[str, Any]]:
    """`{table: {"meaning", "kept", "columns": {name: meaning}, "redacted": {name: reason}}}`, of all covered."""
    return {
        table.table: {
            "meaning": table.meaning,
            "kept": table.kept,
            "columns": dict(table.columns),
            "redacted": dict(table.redact),
        }
        for table in covered()
    }
