"""Creating jobs of the types that are open to tenants: what is asked, and whether it may be."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from audit.api.errors import ApiError, invalid, invalid_fields, too_many
from audit.api.events import Moment
from audit.canonical import UncanonicalValue, check
from audit.models import Company
from jobs.enqueueing import KeyContended, enqueue
from jobs.models import Job
from jobs.payloads import BadPayload
from jobs.registry import public_types

MOST_WAITING = 10_000
"""Waiting jobs of one company beyond which it can make no more wait."""
LOOK_AGAIN = timedelta(minutes=1)
"""After which a company whose jobs are too many may look whether some have ended."""
MOST_CHARACTERS = 256 * 1024
"""Of a payload; each object and list in it takes some (audit.canonical.check)."""
MOST_KEY = 255
FARTHEST = timedelta(days=365)
"""How far ahead a job may be scheduled."""


def _public(job_type: str) -> str:
    # The same for a type that is not open and for one that does not exist.
    if job_type not in public_types():
        raise ValueError(f"must be one of: {', '.join(public_types())}")
    return job_type


def _printable(key: str) -> str:
    if not 0 < len(key) <= MOST_KEY or not key.isprintable():
        raise ValueError(f"must have 1 to {MOST_KEY} characters, all of them printable")
    return key


def _list_types(schema: dict[str, Any]) -> None:
    schema["enum"] = public_types()


class JobIn(BaseModel):
    """A job as it is created; only `type` and `payload` are required."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"type": "sleep", "payload": {"seconds": 10}, "key": "nightly"}},
    )
    type: Annotated[str, AfterValidator(_public)] = Field(
        description="What is to be done.", json_schema_extra=_list_types
    )
    payload: dict[str, Any] = Field(
        description="What the type asks for, such as `seconds` of `sleep`. At most 262,144 characters (256 KiB), of "
        "which each object and list takes 64.",
        examples=[{"seconds": 10}],
    )
    priority: int = Field(
        default=0,
        strict=True,
        ge=-10,
        le=10,
        description="Higher ones come first among the company's own jobs; companies take turns.",
    )
    run_at: Moment | None = Field(
        default=None,
        alias="runAt",
        description="Not to start before this moment, at most a year ahead; now, where it is left out or has passed.",
    )
    key: Annotated[str, AfterValidator(_printable)] | None = Field(
        default=None,
        json_schema_extra={"minLength": 1, "maxLength": MOST_KEY},
        description="While a job of this type and key waits or runs, that one is the answer, and none is created.",
    )
    max_attempts: int | None = Field(
        default=None,
        alias="maxAttempts",
        strict=True,
        ge=1,
        le=25,
        description="Attempts until the job fails for good; where it is left out, as many as its type has.",
    )


def create(company: Company, asked: JobIn, *, now: datetime) -> tuple[Job, bool]:
    """The job, in the caller's transaction, and whether it is new. Raises ApiError 422, 429, 503."""
    _check(asked, now=now)
    active = Job.objects.of(company).active()
    if asked.key is None or not active.filter(type=asked.type, key=asked.key).exists():
        refuse_more(company)
    try:
        return enqueue(
            asked.type,
            asked.payload,
            company=company,
            key=asked.key,
            priority=asked.priority,
            run_at=asked.run_at and max(asked.run_at, now),
            max_attempts=asked.max_attempts,
            now=now,
        )
    except BadPayload as error:
        raise invalid_fields(error.problems) from None
    except KeyContended as error:
        raise ApiError(503, "busy", str(error), headers={"Retry-After": "1"}) from None


def _check(asked: JobIn, *, now: datetime) -> None:
    if asked.run_at and asked.run_at > now + FARTHEST:
        raise invalid("runAt", f"must be at most {FARTHEST.days} days ahead")
    try:
        size = check(asked.payload, "payload")
    except UncanonicalValue as error:
        raise invalid(error.path, error.rule) from None
    if size > MOST_CHARACTERS:
        raise invalid("payload", f"has {size:,} characters, of at most {MOST_CHARACTERS:,} (256 KiB)")


def refuse_more(company: Company) -> None:
    """Raises ApiError 429 while as many jobs of a company wait as may."""
    if Job.objects.of(company).filter(status=Job.Status.PENDING)[:MOST_WAITING].count() >= MOST_WAITING:
        error = f"{MOST_WAITING:,} jobs of this company wait, which is the most; let some of them end, or cancel some."
        raise too_many(error, retry_after=LOOK_AGAIN)
