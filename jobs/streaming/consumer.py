"""The WebSocket's two ends: the handshake, refused as HTTP would refuse it, and the close."""

import asyncio
import logging
import uuid
from io import BytesIO
from typing import Any

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from audit.api.errors import ApiError, not_found
from audit.notices import notice
from jobs.streaming import admission, ending
from jobs.streaming.telling import Telling

DATABASE_AWAY = (OperationalError, InterfaceError)

logger = logging.getLogger(__name__)


class Refusing(AsyncConsumer):
    """Answers a handshake with an error of the API (ASGI's extension `websocket.http.response`, which uvicorn has)."""

    async def refuse(self, error: ApiError) -> None:
        response = error.response()
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
        await self.send({"type": "websocket.http.response.start", "status": response.status_code, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": response.content})

    async def websocket_disconnect(self, _message: dict[str, Any]) -> None:
        raise StopConsumer


class NothingHere(Refusing):
    """Every path that is no stream."""

    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        await self.refuse(not_found("WebSocket"))


class JobStream(Refusing):
    """One client that follows the jobs of its key's company.

    It is counted until its connection is really gone: one that takes nothing any more keeps its place.
    """

    company_id: uuid.UUID | None = None
    running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.running:
                self.running.cancel()
            if self.company_id:
                admission.leave(self.company_id)
                notice("stream.closed", company=self.company_id)

    async def websocket_connect(self, _message: dict[str, Any]) -> None:
        request = ASGIRequest({**self.scope, "method": "GET"}, BytesIO())
        try:
            key, since = await admission.in_thread(admission.admit, request, now=timezone.now())
            admission.enter(key.company_id)
        except ApiError as error:
            await self.refuse(error)
            return
        except DATABASE_AWAY as error:
            logger.warning("A stream could not begin: %s", error)
            await self.refuse(ApiError(503, "unavailable", ending.unavailable().reason, headers={"Retry-After": "1"}))
            return
        self.company_id = key.company_id
        await self.send({"type": "websocket.accept"})
        notice("stream.opened", company=key.company_id, key=key.pk)
        self.running = asyncio.create_task(self._run(Telling(request=request, key=key, since=since, send=self._say)))

    async def websocket_receive(self, _message: dict[str, Any]) -> None:
        if self.running:
            self.running.cancel()
        await self._end(ending.takes_no_messages())

    async def _run(self, telling: Telling) -> None:
        try:
            await telling.run()
        except ending.Ended as ended:
            await self._end(ended)
        except DATABASE_AWAY as error:
            logger.warning("A stream ends: %s", error)
            await self._end(ending.unavailable())
        except OSError:
            pass  # the client is gone
        except Exception:
            logger.exception("A stream failed.")
            await self._end(ending.failed())

    async def _say(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def _end(self, ended: ending.Ended) -> None:
        await self.send({"type": "websocket.close", "code": ended.code, "reason": ended.reason})
