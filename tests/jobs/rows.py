"""Rows of jobs in any status, without a worker."""

import uuid
from typing import Any

from jobs.models import Job
from tests.conftest import NOON, Tenant


def row(tenant: Tenant | None, *, job_type: str = "sleep", status: str = "PENDING", **changes: Any) -> Job:
    """One that is not stored yet."""
    held = {"claim_token": uuid.uuid4(), "claimed_by": uuid.uuid4()} if status == "PROCESSING" else {}
    ended = {} if status in ("PENDING", "PROCESSING") else {"completed_at": NOON}
    fields: dict[str, Any] = {"queue": "jobs", "payload": {"seconds": 0}, "run_at": NOON, "max_attempts": 3}
    company = tenant.company if tenant else None
    return Job(company=company, type=job_type, status=status, **{**fields, **held, **ended, **changes})


def job_in(tenant: Tenant | None, **properties: Any) -> Job:
    """A stored one."""
    made = row(tenant, **properties)
    made.save(force_insert=True)
    return made
