"""A source of reviews on the wire: a real HTTP server that answers page after page, and fails as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def review(number: int, **fields: Any) -> dict[str, Any]:
    made = {"id": f"r{number}", "author": f"Author {number}", "rating": 4, "text": "Great."}
    return made | {"writtenAt": "2026-01-15T10:00:00Z"} | fields


@dataclass
class Source:
    """Serves `pages`, whose cursors are their numbers; `failures` is consulted, and emptied, before each answer.

    A failure is a status, or a body that comes in the page's place; None lets the page through.
    """

    url: str = ""
    pages: list[list[dict[str, Any]]] = field(default_factory=list)
    failures: list[int | bytes | None] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None

    def answer(self, asked: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append(asked)
        self.before_answer()
        match self.failures.pop(0) if self.failures else None:
            case int(status):
                return status, b""
            case bytes(body):
                return 200, body
        number = int(asked.get("cursor", 0))
        following = str(number + 1) if number + 1 < len(self.pages) else None
        page = {"reviews": self.pages[number], "total": sum(map(len, self.pages)), "next": following}
        return 200, json.dumps(page).encode()

    @property
    def cursors(self) -> list[str | None]:
        """Of the pages that were asked for."""
        return [asked.get("cursor") for asked in self.asked]


@contextmanager
def serve_source() -> Iterator[Source]:
    source = Source()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            status, body = source.answer(asked)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server names it so
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that go away are part of the tests

    with Server(("127.0.0.1", 0), Handler) as server:
        source.url = f"http://127.0.0.1:{server.server_port}/reviews"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield source
        finally:
            server.shutdown()
            thread.join()
