"""The rate limit of each API key: a count in Redis for each minute.

It guards our machines, not the truth: where Redis is away, requests pass uncounted.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from audit.api.errors import too_many
from audit.models import ApiKey

WINDOW = 60
"""Seconds."""
PATIENCE = 0.25
"""Seconds that a request waits for Redis."""
PAUSE = 5.0
"""Seconds for which nobody asks Redis again after it did not answer."""

logger = logging.getLogger(__name__)

_redis: redis.Redis | None = None
_making = threading.Lock()
_ask_again_at = 0.0


def count(request: HttpRequest, key: ApiKey) -> None:
    """Count a request; raises ApiError 429 once the key has used up its minute."""
    now = time.time()
    used = _increment(f"hyrelog:rate:{key.pk}:{int(now // WINDOW)}")
    if used is None:
        return
    limit, resets_in = settings.API_RATE_LIMIT, WINDOW - now % WINDOW
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(max(0, limit - used)),
        "X-RateLimit-Reset": str(int(resets_in) + 1),
    }
    request.rate_limit_headers = headers  # type: ignore[attr-defined]
    if used > limit:
        error = f"This key has made {limit} requests within a minute, which is its limit."
        raise too_many(error, retry_after=timedelta(seconds=resets_in), headers=headers)


def spend(name: str, *, most: int, error: str) -> None:
    """Count one use of what is dearer than a request; raises ApiError 429 after `most` within a minute."""
    now = time.time()
    used = _increment(f"hyrelog:rate:{name}:{int(now // WINDOW)}")
    if used is not None and used > most:
        raise too_many(error, retry_after=timedelta(seconds=WINDOW - now % WINDOW))


@sync_and_async_middleware
def rate_limit_headers(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: tells each client where it stands."""

    def add(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in getattr(request, "rate_limit_headers", {}).items():
            response.headers.setdefault(name, value)
        return response

    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            return add(request, await get_response(request))

        return asynchronous
    return lambda request: add(request, get_response(request))


def _client() -> redis.Redis:
    global _redis  # noqa: PLW0603  one connection pool for each process
    with _making:  # one that another thread replaces closes, with its end, the connections in use
        if _redis is None:
            _redis = redis.Redis.from_url(
                settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=None
            )
        return _redis


def _increment(name: str) -> int | None:
    global _ask_again_at  # noqa: PLW0603  one pause for each process
    if time.monotonic() < _ask_again_at:
        return None
    try:
        with _client().pipeline(transaction=False) as pipeline:
            pipeline.incr(name)
            pipeline.expire(name, WINDOW * 2)
            return int(pipeline.execute()[0])
    except redis.RedisError as error:
        logger.warning("Redis is away (%s): requests pass uncounted.", error)
        _ask_again_at = time.monotonic() + PAUSE
        return None
