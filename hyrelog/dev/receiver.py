"""A local webhook endpoint to try HyreLog with: `python -m hyrelog.dev.receiver`.

POST to any path delivers; GET / shows what came as a page, GET /deliveries.json as JSON. RECEIVER_PORT chooses the
port, DEMO_WEBHOOK_SECRET is what signatures are checked against.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import uvicorn

from hyrelog.dev.inbox import Inbox
from hyrelog.dev.inbox_page import render
from hyrelog.dev.ports import LOOPBACK
from hyrelog.dev.state import state_folder
from hyrelog.env import Environment

LARGEST_BODY = 20 * 1024 * 1024
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Receiver:
    """The ASGI application around an inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if method == "POST":
            await self._take(scope, receive, send)
        elif method not in {"GET", "HEAD"}:
            await answer(send, 405, "Use POST to deliver, GET to look.")
        elif path == "/deliveries.json":
            await answer(send, 200, json.dumps(self.inbox.as_json()), kind="application/json")
        elif path == "/":
            await answer(send, 200, render(self.inbox), kind="text/html")
        else:
            await answer(send, 404, "GET / is the page, GET /deliveries.json the same as JSON.")

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LARGEST_BODY:
                await answer(send, 413, f"The body has more than {LARGEST_BODY} bytes.")
                return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        delivery = self.inbox.take(path=scope["path"], headers=headers, body=bytes(body), now=datetime.now(UTC))
        await (answer(send, 204) if delivery.error is None else answer(send, 400, delivery.error))


async def answer(send: Send, status: int, text: str = "", *, kind: str = "text/plain") -> None:
    headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
    headers.append((b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"))
    if text:
        headers.append((b"content-type", f"{kind}; charset=utf-8".encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def main() -> None:
    environment = Environment(file=state_folder() / "env")
    receiver = Receiver(Inbox(secret=environment.text("DEMO_WEBHOOK_SECRET")))
    port = environment.integer("RECEIVER_PORT", 8001, least=1, most=65535)
    uvicorn.run(receiver, host=LOOPBACK, port=port, lifespan="off", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
