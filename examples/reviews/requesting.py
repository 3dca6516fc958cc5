"""What the rest of the service calls: each builds the key of a job and enqueues it, in the caller's transaction."""

import uuid
from datetime import date

from audit.models import Company
from jobs.enqueueing import Then, enqueue
from jobs.models import Job
from reviews.handlers import INGEST, SCORE, Ingest, Score
from reviews.scoring import Version


def request_ingest(*, tenant: uuid.UUID, connector: str, since: date, then: Then | None = None) -> tuple[Job, bool]:
    """The ingest of a connector since a date, and whether it is new: one that waits or runs already comes back.

    Then it comes back as it is, whatever was to follow this one. Raises pydantic.ValidationError.
    """
    payload = Ingest(tenant=tenant, connector=connector, since=since)
    key = f"ingest:{tenant}:{connector}:{since}"
    return enqueue(INGEST, payload, company=_company(tenant), key=key, then=then)


def request_score(
    *, tenant: uuid.UUID, start: date, end: date, version: Version, connector: str | None = None
) -> tuple[Job, bool]:
    """The scoring of a period, of all connectors or of one, and whether it is new. Raises pydantic.ValidationError."""
    payload = Score(tenant=tenant, start=start, end=end, version=version, connector=connector)
    key = f"score:{tenant}:{start}:{end}:{version}" + (f":{connector}" if connector else "")
    return enqueue(SCORE, payload, company=_company(tenant), key=key)


def request_ingest_and_score(
    *, tenant: uuid.UUID, connector: str, since: date, end: date, version: Version
) -> tuple[Job, bool]:
    """The ingest, upon whose success the connector's reviews up to `end` are scored. As `request_ingest`."""
    score = Score(tenant=tenant, start=since, end=end, version=version, connector=connector)
    return request_ingest(tenant=tenant, connector=connector, since=since, then=Then(SCORE, score))


def _company(tenant: uuid.UUID) -> Company | None:
    """Whose job it is; for an unknown tenant it is nobody's, and its handler says why it fails."""
    return Company.objects.filter(pk=tenant).first()
