"""Following a channel in Redis for as long as it takes: whatever breaks, it is subscribed to again."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import redis
from django.conf import settings
from redis.asyncio import Redis

SUBSCRIBED = b""
"""Stands for the beginning of a subscription; a message is never empty."""
PATIENCE = 5.0
"""Seconds that Redis has to answer."""
QUIET = 15.0
"""Seconds of silence after which Redis is asked whether it is still there."""
AGAIN_AFTER = 1.0
"""Seconds after which a lost Redis is sought again."""

logger = logging.getLogger(__name__)


async def follow(channel: str) -> AsyncGenerator[bytes, None]:
    """What is published on a channel; SUBSCRIBED whenever a subscription begins: what came before it may be missed."""
    away = False
    while True:
        try:
            async with aclosing(_subscription(channel)) as messages:
                async for message in messages:
                    away = False
                    yield message
        except (redis.RedisError, OSError) as error:
            if not away:
                logger.warning("A stream has no Redis (%s); it goes on without, and looks for it each second.", error)
            away = True
        await asyncio.sleep(AGAIN_AFTER)


async def _subscription(channel: str) -> AsyncGenerator[bytes, None]:
    """One connection. Raises redis.RedisError or OSError at its end."""
    redis_client = Redis.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, protocol=2
    )
    async with redis_client, redis_client.pubsub() as subscription:
        await subscription.subscribe(channel)
        asked = False
        while True:
            message = await subscription.get_message(timeout=QUIET)
            if message is None and asked:
                raise redis.TimeoutError(f"no answer within {QUIET:g} seconds")
            if message is None:
                await subscription.ping()
            elif message["type"] == "message":
                yield message["data"]
            elif message["type"] == "subscribe":  # also where the client has connected anew by itself
                yield SUBSCRIBED
            asked = message is None
