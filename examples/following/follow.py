"""Follow a company's jobs: `python follow.py wss://audit.example.com hlk_…` (pip install websockets)."""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

TRY_AGAIN = (429, 500, 502, 503, 504)


def follow(server: str, key: str) -> Iterator[dict[str, Any]]:
    """Each message, for ever: after a break the stream goes on where it was.

    Raises websockets.exceptions.InvalidStatus for a key that is not, or no longer, valid.
    """
    since, pause = "", 1.0
    while True:
        query = f"?since={since}" if since else ""
        try:
            with connect(
                f"{server}/v1/key/company/jobs/stream{query}", additional_headers={"x-hyrelog-key": key}
            ) as stream:
                while True:
                    message = json.loads(stream.recv())
                    since, pause = message["at"], 1.0
                    yield message
        except InvalidStatus as refused:
            if refused.response.status_code not in TRY_AGAIN:
                raise
        except (ConnectionClosed, OSError):
            pass
        time.sleep(pause)
        pause = min(2 * pause, 60.0)


def jobs_in(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The jobs that a message shows: each as it is now, whatever was known of it before."""
    jobs: list[dict[str, Any]] = message["jobs"] if "jobs" in message else [message["job"]]
    return jobs


if __name__ == "__main__":
    for told in follow(*sys.argv[1:]):
        for job in jobs_in(told):
            print(told["event"], job["jobId"], job["type"], job["status"], f"{job['progress']:.0%}", job["step"] or "")
