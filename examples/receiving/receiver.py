"""A receiver of HyreLog's webhooks: it verifies each request, and acts on each event once.

pip install standardwebhooks
WEBHOOK_SECRET=whsec_… python receiver.py 8080
"""

import os
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

LARGEST_BODY = 16 * 1024 * 1024
DATABASE = os.environ.get("DATABASE", "received.db")


def verify(secret: str, headers: dict[str, str], body: bytes) -> Any:
    """The event that a request carries; raises WebhookVerificationError if it is forged, altered or too old."""
    try:
        return Webhook(secret).verify(body, headers)
    except ValueError as error:  # a header or a body that cannot even be read
        raise WebhookVerificationError(str(error)) from error


def accept(webhook_id: str, event: dict[str, Any]) -> bool:
    """Act on an event unless it was here before; says whether it was new.

    Its id and what it changes are written in one transaction: there is never one without the other.
    """
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute("CREATE TABLE IF NOT EXISTS events (webhook_id TEXT PRIMARY KEY, type TEXT)")
        row = (webhook_id, event["type"])
        return database.execute("INSERT OR IGNORE INTO events VALUES (?, ?)", row).rowcount == 1


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept alive
    disable_nagle_algorithm = True
    timeout = 60

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_BODY:
            self.close_connection = True
            self.answer(413, "too large")
            return
        body = self.rfile.read(length)  # the bytes as they came: this is what was signed
        try:
            event = verify(os.environ["WEBHOOK_SECRET"], dict(self.headers.items()), body)
        except WebhookVerificationError as error:
            self.answer(401, f"refused: {error}")
            return
        new = accept(self.headers["webhook-id"], event)
        self.answer(200, "accepted" if new else "duplicate")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
