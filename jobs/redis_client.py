"""The Redis client of a process, for what the runtime tells others through Redis: bells, and events of jobs."""

import os
import threading

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 2.0
"""Seconds that a thread which publishes waits for Redis."""

_client: redis.Redis | None = None
_making = threading.Lock()


def client() -> redis.Redis:
    """The same one for every thread; it connects when it is first used."""
    global _client  # noqa: PLW0603  one connection pool for each process
    with _making:  # one that another thread replaces closes, with its end, the connections in use
        if _client is None:
            _client = redis.Redis.from_url(
                settings.REDIS_URL,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 1),  # Redis may have restarted since the connection was last used
            )
        return _client


def _start_afresh() -> None:
    """A forked child has no right to its parent's sockets, and may have been forked while the lock was held."""
    global _client, _making
    _client, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_start_afresh)
