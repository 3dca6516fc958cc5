"""The two kinds of job of the review service."""

import uuid
from datetime import date, timedelta
from typing import Annotated, Any

from django.db import transaction
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from jobs.backoff import exponential
from jobs.context import JobContext, Unrecoverable
from jobs.registry import handler
from reviews.models import Connector, Review, ReviewQuerySet, UnknownConnector, UnknownTenant, open_tenant
from reviews.scoring import Tally, Version
from reviews.source import fetch

INGEST, SCORE = "ingest_reviews", "score_run"
LONGEST = timedelta(days=366)
"""That one scoring covers."""
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Ingest(BaseModel):
    """Fetch what a connector of a tenant has had since a date."""

    model_config = ConfigDict(extra="forbid")
    tenant: uuid.UUID
    connector: Name
    since: date


class Ingested(BaseModel):
    """How far an ingest has come: what it keeps after each page, and its result in the end."""

    pages: int = 0
    reviews: int = 0
    cursor: str | None = None


@handler(INGEST, max_attempts=5, backoff=exponential(base=2, cap=32), timeout=600, concurrency=3)
def ingest_reviews(context: JobContext, asked: Ingest) -> dict[str, Any]:
    """Fetch page after page, and store each; an attempt that goes on begins where the one before stored its last."""
    connector = _connector(asked.connector, tenant=asked.tenant)
    done = Ingested.model_validate(context.job.result or {})
    if done.cursor:
        context.log(f"goes on after page {done.pages}")
    while done.pages == 0 or done.cursor:
        context.check()
        page = fetch(connector.url, since=asked.since, cursor=done.cursor)  # no transaction is open on the wire
        done = Ingested(pages=done.pages + 1, reviews=done.reviews + len(page.reviews), cursor=page.next)
        share = done.reviews / max(page.total, done.reviews, 1)
        with transaction.atomic():  # the page and how far the job is: both, or neither
            Review.objects.store(connector, page.reviews)
            context.keep(done.model_dump(), fraction=share)
        context.log(f"page {done.pages}: {len(page.reviews)} reviews")
        context.progress(share, step=f"page {done.pages}")
    return done.model_dump()


class Score(BaseModel):
    """Score a period of a tenant, both days included; of all connectors where none is named."""

    model_config = ConfigDict(extra="forbid")
    tenant: uuid.UUID
    start: date
    end: date
    version: Version
    connector: Name | None = None
    result: Ingested | None = None
    """Of the ingest that this job follows, if it follows one."""

    @field_validator("end")
    @classmethod
    def bound(cls, end: date, info: ValidationInfo) -> date:
        start = info.data.get("start", end)  # a bad one is told of by itself
        if not start <= end < start + LONGEST:
            raise ValueError(f"must be {start} or one of the {LONGEST.days - 1} days after it")
        return end


@handler(
    SCORE,
    max_attempts=3,
    backoff=exponential(base=5, cap=20),
    concurrency=2,
    rate="10/s",
    keep_completed=timedelta(days=90),
)
def score_run(context: JobContext, asked: Score) -> dict[str, Any]:
    """Score each review of the period, day by day; the result says what they come to."""
    reviews = _reviews(asked)
    if asked.result:
        context.log(f"follows an ingest of {asked.result.reviews} reviews")
    tally, days = Tally(asked.version), (asked.end - asked.start).days + 1
    for number in range(days):
        day = asked.start + timedelta(days=number)
        tally.add(reviews.written_on(day, tenant=asked.tenant))
        context.progress((number + 1) / days, step=f"{day}: {tally.count} reviews")
    return {"start": asked.start.isoformat(), "end": asked.end.isoformat(), **tally.as_json()}


def _reviews(asked: Score) -> ReviewQuerySet:
    if asked.connector:
        return Review.objects.filter(connector=_connector(asked.connector, tenant=asked.tenant))
    try:
        return Review.objects.filter(company=open_tenant(asked.tenant))
    except UnknownTenant as unknown:
        raise Unrecoverable(str(unknown)) from unknown


def _connector(name: str, *, tenant: uuid.UUID) -> Connector:
    """One that is not there now is not there ten seconds later either."""
    try:
        return Connector.objects.named(name, tenant=tenant)
    except (UnknownTenant, UnknownConnector) as unknown:
        raise Unrecoverable(str(unknown)) from unknown
