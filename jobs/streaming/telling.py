"""What a stream tells: a snapshot, then each event as it is published.

Redis may lose a message, and two processes may publish in another order than they committed. So a stream compares what
it told with the rows every so often, and tells where they differ. It also looks then whether its key still holds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from datetime import datetime

import orjson
from django.http import HttpRequest
from django.utils import timezone

from audit.api.auth import still_admits
from audit.chain import timestamp
from audit.models import ApiKey
from jobs.publishing import channel
from jobs.streaming import ending
from jobs.streaming.admission import in_thread
from jobs.streaming.following import SUBSCRIBED, follow
from jobs.streaming.state import Shown, State, read_state

FIRST_LOOK = 2.0
"""Seconds after which a stream begins without Redis."""
LOOK_EVERY = 15.0
"""Seconds between two looks at the key and at the rows."""
MOST_WAITING = 1000
"""Events that wait for a slow client."""
PATIENCE = 20.0
"""Seconds that a client has to take a message."""


class Telling:
    """Tells one client of its company's jobs; `send` takes a text."""

    def __init__(
        self, *, request: HttpRequest, key: ApiKey, since: datetime, send: Callable[[str], Awaitable[None]]
    ) -> None:
        self._request, self._key, self._since, self._send = request, key, since, send
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(MOST_WAITING)
        self._told: dict[str, int] = {}

    async def run(self) -> None:
        """Go on until something ends it.

        Raises Ended, OSError where the client is gone, Django's errors where the database is away.
        """
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._tell())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        async with aclosing(follow(channel(self._key.company_id))) as messages:
            async for message in messages:
                if self._waiting.full():
                    raise ending.too_slow()
                self._waiting.put_nowait(message)

    async def _tell(self) -> None:
        began, look_at = False, time.monotonic() + FIRST_LOOK
        while True:
            message = await self._next(until=look_at)
            if message:
                await self._pass_on(message)
                continue
            await self._look(afresh=message == SUBSCRIBED or not began)
            began, look_at = True, time.monotonic() + LOOK_EVERY

    async def _next(self, *, until: float) -> bytes | None:
        """The next message, or None once it is time to look."""
        if (left := until - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    return await self._waiting.get()
        return None

    async def _pass_on(self, message: bytes) -> None:
        shown = Shown.of(orjson.loads(message)["job"])
        self._told[shown.job_id] = shown.digest
        await self._say(message)

    async def _look(self, *, afresh: bool) -> None:
        state = await in_thread(_read, self._key, self._request, since=self._since, now=timezone.now())
        differing = [shown for shown in state.jobs if self._told.get(shown.job_id) != shown.digest]
        self._told = {shown.job_id: shown.digest for shown in state.jobs}
        self._since = state.at
        if afresh:
            await self._say(_message("snapshot", state, state.jobs))
        elif differing:
            await self._say(_message("state", state, differing))

    async def _say(self, message: bytes) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send(message.decode())
        except TimeoutError:
            raise ending.too_slow() from None


def _read(key: ApiKey, request: HttpRequest, *, since: datetime, now: datetime) -> State:
    if not still_admits(key, request, now=now):
        raise ending.key_ended()
    return read_state(key.company_id, since=since, now=now)


def _message(event: str, state: State, jobs: Iterable[Shown]) -> bytes:
    content = {"event": event, "at": timestamp(state.at), "complete": state.complete}
    return orjson.dumps({**content, "jobs": [orjson.Fragment(shown.json) for shown in jobs]})
