"""The route of the stream as plain HTTP sees it: it tells what to do instead, and describes the stream at /docs."""

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from audit.api.auth import company_key
from audit.api.errors import ApiError

router = Router(tags=["jobs"])

Since = Annotated[
    str | None, Query(description="The snapshot also holds what ended since then; by default since an hour ago.")
]


@router.get(
    "/key/company/jobs/stream", auth=company_key, response={101: None, 426: dict[str, Any]}, summary="Follow jobs live"
)
def stream(request: HttpRequest, since: Since = None) -> None:  # noqa: ARG001  for the description
    """A WebSocket, with the key in a header as everywhere.

    It begins with `{"event": "snapshot", "at", "jobs", "complete"}`: all active jobs, and those that ended since
    `since` (a time; by default an hour ago). Then comes `{"event", "at", "job"}` for each event: created, started,
    progress, completed, failed, retrying, cancelled, lost. `{"event": "state", "at", "jobs", "complete"}` corrects what
    was lost on the way. Jobs are as in the list, without `result`.
    """
    error = "This is a WebSocket: connect to it as wss://…, with the key in the header."
    raise ApiError(426, "upgrade_required", error, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
