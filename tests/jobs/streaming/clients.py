"""A real server and real clients for streams."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from audit.models import Company
from hyrelog.asgi import application
from jobs.enqueueing import enqueue
from jobs.models import Job
from tests.system import wait_until

PATH = "/v1/key/company/jobs/stream"


@contextmanager
def serve(port: int = 0, **options: Any) -> Iterator[tuple[str, uvicorn.Server]]:
    """The web process's application in a thread; its address, as `ws://…`, and the server."""
    listening = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(application, lifespan="off", access_log=False, log_config=None, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    wait_until(lambda: server.started, seconds=10, what="uvicorn")
    try:
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}", server
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Follower:
    """A client that follows; `heard` is every message so far."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.heard: list[dict[str, Any]] = []

    def next(self, *, timeout: float = 20) -> dict[str, Any]:
        """The next message; raises TimeoutError, websockets.ConnectionClosed."""
        self.heard.append(json.loads(self.connection.recv(timeout)))
        return self.heard[-1]

    def next_of(self, *events: str) -> dict[str, Any]:
        """The next message of these events; what comes before it is kept in `heard`."""
        while True:
            if (message := self.next())["event"] in events:
                return message


@contextmanager
def following(address: str, key: str, *, query: str = "", **options: Any) -> Iterator[Follower]:
    headers = {"x-hyrelog-key": key}
    with connect(address + PATH + query, additional_headers=headers, proxy=None, **options) as connection:
        yield Follower(connection)


def add(company: Company, **options: Any) -> Job:
    return enqueue("sleep", {"seconds": 0}, company=company, **options)[0]


def ids(message: dict[str, Any]) -> set[str]:
    return {job["jobId"] for job in message["jobs"]}


def refusal(address: str, path: str = PATH, **headers: str) -> tuple[int, dict[str, Any], Any]:
    """The answer to a handshake that is refused: status, body, headers."""
    with pytest.raises(InvalidStatus) as refused, connect(address + path, additional_headers=headers, proxy=None):
        pass
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"null"), response.headers


def end_of(follower: Follower) -> tuple[int, str]:
    """With which code and reason the stream ends, whatever it tells before."""
    with pytest.raises(ConnectionClosed) as closed:
        follower.next_of("none at all")
    assert closed.value.rcvd
    return closed.value.rcvd.code, closed.value.rcvd.reason
