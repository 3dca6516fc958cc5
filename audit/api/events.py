"""Routes of events: one, many, and lists."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from audit import recording
from audit.api.auth import client_address, company_key, key_of, workspace_key, workspace_of
from audit.api.errors import ApiError, invalid_fields
from audit.api.idempotency import HEADER, Answer, once
from audit.api.pages import Page, page
from audit.canonical import UncanonicalValue, check
from audit.drafts import MOST_IDENTIFIER, MOST_NAME, MOST_TARGET, Draft, InvalidDraft
from audit.models import AuditEvent
from audit.models.company import SystemWorkspaceReserved
from audit.models.event import AuditEventQuerySet
from audit.moments import read_moment
from audit.text import storable

BATCH_MOST = 1_000
MOST_IDS = 100
"""Of events that one list is asked for: a record of an erasure names up to twice as many."""

router = Router(tags=["events"])


def _comparable(text: str) -> str:
    """Text that Postgres takes as a parameter."""
    try:
        check(text, "")
    except UncanonicalValue as error:
        raise ValueError(error.rule) from None
    return text


def _ids(texts: list[str]) -> list[str]:
    for text in texts:
        try:
            uuid.UUID(text)
        except ValueError:
            raise ValueError(f"{text[:80]!r} is no UUID") from None
    return texts


# These describe the API and report all faults of a request at once; what counts in the end is Draft.check.
Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_NAME)]
Identifier = Annotated[str, StringConstraints(max_length=MOST_IDENTIFIER)]
Moment = Annotated[datetime, BeforeValidator(read_moment)]
Wanted = Annotated[str, AfterValidator(_comparable)]
EventId = Annotated[str, Field(json_schema_extra={"format": "uuid"})]


class Actor(BaseModel):
    """Who did it. More fields than these are kept as they come."""

    model_config = ConfigDict(extra="allow")
    id: Identifier | None = None
    email: Identifier | None = None
    name: Identifier | None = None


class Target(BaseModel):
    """What it was done to. More fields than these are kept as they come."""

    model_config = ConfigDict(extra="allow")
    type: Identifier | None = None
    id: Annotated[str, StringConstraints(max_length=MOST_TARGET)] | None = None


class Change(BaseModel):
    """What became of one field."""

    model_config = ConfigDict(extra="forbid")
    field: str
    old: Any = None
    new: Any = None


class EventIn(BaseModel):
    """An event as its sender describes it; only `action` and `category` are required."""

    model_config = ConfigDict(extra="forbid")
    action: Name
    category: Name
    actor: Actor | None = None
    target: Target | None = None
    payload: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    changes: list[Change] | None = None
    occurredAt: Moment | None = None  # noqa: N815  JSON is camelCase
    traceId: Identifier | None = None  # noqa: N815

    def draft(self, context: dict[str, Any]) -> Draft:
        """The draft to record, with the request's own context beside what was sent."""
        sent = self.model_dump(exclude_unset=True)
        return Draft(
            action=self.action,
            category=self.category,
            actor=sent.get("actor"),
            target=sent.get("target"),
            payload=sent.get("payload"),
            metadata=sent.get("metadata"),
            changes=sent.get("changes"),
            context={"traceId": self.traceId, **context},
            occurred_at=self.occurredAt,
        )


class BatchIn(BaseModel):
    """Up to 1,000 events, recorded in order: all of them or none."""

    model_config = ConfigDict(extra="forbid")
    events: Annotated[list[EventIn], Field(min_length=1, max_length=BATCH_MOST)]


class Filters(Schema):
    """Which events a list shows."""

    id: Annotated[
        list[EventId] | None,
        Field(max_length=MOST_IDS, description="Repeated for each of several. Ids of no event here are passed over."),
        # Of the whole list: what is wrong with one item would be told by a path that the query does not have.
        AfterValidator(_ids),
    ] = None
    action: Wanted | None = None
    category: Wanted | None = None
    actorId: Wanted | None = None  # noqa: N815
    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None

    def apply(self, events: AuditEventQuerySet) -> AuditEventQuerySet:
        wanted = {
            "pk__in": self.id,
            "action": self.action,
            "category": self.category,
            "occurred_at__gte": self.from_,
            "occurred_at__lt": self.to,
        }
        if self.actorId is not None:
            events = events.by_actor(self.actorId)
        return events.filter(**{name: value for name, value in wanted.items() if value is not None})


FiltersQuery = Annotated[Filters, Query()]


@router.post(
    "/key/workspace/events",
    auth=workspace_key,
    response={201: dict[str, Any]},
    summary="Record one event",
    openapi_extra=HEADER,
)
def record_event(request: HttpRequest, event: EventIn) -> Answer:
    """Append one event to the workspace's chain; `Idempotency-Key` makes it safe to repeat."""

    def answer() -> Answer:
        return 201, _record(request, [event], single=True)[0].as_json()

    return once(request, key_of(request), route="events", now=timezone.now(), answer=answer)


@router.post(
    "/key/workspace/events/batch",
    auth=workspace_key,
    response={201: dict[str, Any]},
    summary="Record many events",
    openapi_extra=HEADER,
)
def record_batch(request: HttpRequest, batch: BatchIn) -> Answer:
    """Append up to 1,000 events in order: all of them or, where one is not valid, none."""

    def answer() -> Answer:
        recorded = _record(request, batch.events, single=False)
        return 201, {"events": [{"id": str(e.id), "seq": e.seq, "hash": e.hash} for e in recorded]}

    return once(request, key_of(request), route="events/batch", now=timezone.now(), answer=answer)


@router.get("/key/workspace/events", auth=workspace_key, response=dict[str, Any], summary="List a workspace's events")
def list_workspace_events(request: HttpRequest, asked: Page, filters: FiltersQuery) -> dict[str, Any]:
    """Newest first, by `seq`. A page of large events is shorter than `limit`; `nextCursor` continues."""
    workspace = workspace_of(key_of(request))
    # The company says nothing that the workspace does not, but leads to the index on the actor.
    events = filters.apply(AuditEvent.objects.filter(workspace=workspace, company=workspace.company_id))
    shown, following = page(events, asked, by="seq", item=AuditEvent.as_json)
    return {"events": shown, "nextCursor": following}


@router.get("/key/company/events", auth=company_key, response=dict[str, Any], summary="List a company's events")
def list_company_events(request: HttpRequest, asked: Page, filters: FiltersQuery) -> dict[str, Any]:
    """All workspaces, newest first. A page of large events is shorter than `limit`; `nextCursor` continues."""
    events = filters.apply(AuditEvent.objects.filter(company=key_of(request).company))
    shown, following = page(events, asked, by="id", item=AuditEvent.as_json)
    return {"events": shown, "nextCursor": following}


def _record(request: HttpRequest, events: Sequence[EventIn], *, single: bool) -> list[AuditEvent]:
    key = key_of(request)
    workspace = workspace_of(key)
    if workspace.is_system:
        raise ApiError(403, "wrong_scope", str(SystemWorkspaceReserved()))
    context = {
        "keyId": str(key.id),
        "ip": client_address(request),
        "userAgent": storable(request.headers.get("user-agent", "")[:500]),
    }
    drafts = [event.draft(context) for event in events]
    problems = []
    for index, draft in enumerate(drafts):
        try:
            draft.check()
        except InvalidDraft as error:
            problems.append((error.path if single else f"events[{index}].{error.path}", error.rule))
    if problems:
        raise invalid_fields(problems)
    return recording.record(workspace=workspace, drafts=drafts, now=timezone.now())
