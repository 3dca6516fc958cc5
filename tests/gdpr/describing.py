"""Manifests as they are known when the pages of an archive are written."""

from typing import Any

from audit.models import Company
from audit.personal_data import covered, excluded
from gdpr.subjects import Subject


def manifest_of(company: Company, *, subject: Subject | None = None, csv: bool = False, **facts: Any) -> dict[str, Any]:
    """A manifest of archive.md without the hashes; `facts` replace what is said otherwise."""
    counts = {table.table: number for number, table in enumerate(covered())}
    names = [f"data/{table}.ndjson" for table in counts] + (["data/audit_auditevent.csv"] if csv else [])
    return {
        "format": "hyrelog-export",
        "schemaVersion": 3,
        "scope": "subject" if subject else "company",
        "subject": subject and subject.as_json(),
        "company": {"id": str(company.pk), "name": company.name},
        "request": {
            "jobId": "01900000-0000-7000-8000-000000000000",
            "requestedAt": "2026-01-31T12:00:00.000000Z",
            "requestedBy": "API key backend (hlk_abcdefgh…)",
        },
        "attempt": 1,
        "readFrom": "2026-01-31T12:00:01.000000Z",
        "readUntil": "2026-01-31T12:00:09.000000Z",
        "checkpoint": {"body": {}, "keyId": "0123456789abcdef", "signature": "00"},
        "workspaces": {},
        "counts": counts,
        "files": [{"name": name} for name in names],
        "redactions": {table.table: dict(table.redact) for table in covered() if table.redact},
        "excluded": {table.table: table.reason for table in excluded()},
        **facts,
    }
