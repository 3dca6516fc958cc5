"""Who may follow, since when, and how many at once."""

import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from channels.db import database_sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest

from audit.api.auth import company_key
from audit.api.errors import ApiError, invalid, too_many
from audit.models import ApiKey
from audit.moments import read_moment

BACK = timedelta(hours=1)
"""How far back the first snapshot goes where the client does not say."""
MOST_STREAMS = 20
"""Of one company in one web process."""
THREADS = 2
"""That read the database for all streams of a process: they take no more of its connections than this."""

P = ParamSpec("P")
R = TypeVar("R")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stream")
_open: Counter[uuid.UUID] = Counter()


def admit(request: HttpRequest, *, now: datetime) -> tuple[ApiKey, datetime]:
    """The key of a handshake, and since when its client wants to know what ended; raises ApiError, as HTTP does."""
    key = company_key(request)
    try:
        asked = request.GET.get("since")
        return key, now - BACK if asked is None else read_moment(asked)
    except ValueError as error:
        raise invalid("since", str(error)) from None
    except SuspiciousOperation as error:  # such as a thousand parameters
        raise ApiError(400, "bad_request", str(error)) from None


def enter(company_id: uuid.UUID) -> None:
    """Count a stream; raises ApiError 429 beyond MOST_STREAMS. Called on the event loop, as `leave` is."""
    if _open[company_id] >= MOST_STREAMS:
        error = f"This company has {MOST_STREAMS} streams open here, which is its limit; close one first."
        raise too_many(error, retry_after=timedelta(seconds=10))
    _open[company_id] += 1


def leave(company_id: uuid.UUID) -> None:
    """Count it no more."""
    _open[company_id] -= 1
    if not _open[company_id]:
        del _open[company_id]


async def in_thread(function: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
    """Call what reads the database; its connection is given back before the stream waits again."""
    return await database_sync_to_async(function, thread_sensitive=False, executor=_threads)(*args, **named)
