"""`context.json`: what Art. 15(1) GDPR asks for beside the data."""

from datetime import datetime
from typing import Any

from audit.models import Company
from gdpr.subjects import Subject


def context_of(company: Company, *, scope: str, subject: Subject | None, now: datetime) -> dict[str, Any]:
    """What the company and HyreLog know of purposes, recipients, retention, sources and rights, as JSON values."""
    return {"company": company.name, "scope": scope, "subject": subject and subject.as_json(), "at": now.isoformat()}
