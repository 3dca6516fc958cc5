"""An S3 server of our own: moto's, in a process of its own, behind a gate that counts bytes and can hold them back."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import boto3
import requests

from hyrelog.env import S3Location

PAGE = 10
"""Keys that a listing holds at a time; a real one holds a thousand, which take their time to make."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "hunter2-hunter2"}


class Gate:
    """A way to a server, which lets through what it is told to."""

    def __init__(self, port: int) -> None:
        self.sent = self.received = 0
        self._limit: int | None = None
        self._changed = threading.Condition()
        self._port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def hold_after(self, count: int | None) -> None:
        """Hold back what clients send after so many bytes more; None lets all of it through."""
        with self._changed:
            self._limit = None if count is None else self.sent + count
            self._changed.notify_all()

    def cut(self) -> None:
        """Break all connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()
        self.hold_after(None)
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                threading.Thread(target=self._send, args=(client, server), daemon=True).start()
                threading.Thread(target=self._receive, args=(server, client), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while chunk := client.recv(1 << 16):
                with self._changed:
                    self._changed.wait_for(lambda: self._limit is None or self.sent < self._limit)
                    self.sent += len(chunk)
                server.sendall(chunk)
            server.shutdown(socket.SHUT_WR)

    def _receive(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while chunk := server.recv(1 << 16):
                self.received += len(chunk)
                client.sendall(chunk)
            client.shutdown(socket.SHUT_WR)


@dataclass
class S3Bucket:
    """A bucket with a prefix, as HyreLog has it through the gate, and what is in it, asked of the server itself."""

    location: S3Location
    gate: Gate
    client: Any
    url: str

    @property
    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.location.bucket).get("Contents", [])
        return [entry["Key"] for entry in found]

    @property
    def uploads(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=self.location.bucket).get("Uploads", [])
        return [entry["Key"] for entry in found]

    def put(self, key: str, content: bytes = b"x") -> None:
        self.client.put_object(Bucket=self.location.bucket, Key=key, Body=content)

    @contextmanager
    def refusing_strangers(self) -> Iterator[None]:
        """The server looks at credentials, and knows none."""
        requests.post(f"{self.url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
        try:
            yield
        finally:
            requests.post(f"{self.url}/moto-api/reset-auth", data=b"inf", timeout=10).raise_for_status()


@contextmanager
def running_server() -> Iterator[str]:
    """The URL of a server that is empty."""
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stderr
        try:
            said = next((line for line in process.stderr if "Running on" in line), "")
            url = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert url, f"moto ended with {process.wait()}"
            log = threading.Thread(target=process.stderr.read)  # the pipe must not fill
            log.start()
            yield url[0]
        finally:
            process.terminate()
        log.join()


@contextmanager
def serving_bucket(url: str, *, name: str, prefix: str) -> Iterator[S3Bucket]:
    """A bucket of its own, behind a gate of its own."""
    keys = {"aws_access_key_id": "direct", "aws_secret_access_key": "direct", "region_name": "us-east-1"}
    client: Any = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket=name)
    gate = Gate(int(url.rpartition(":")[2]))
    yield S3Bucket(S3Location(bucket=name, prefix=prefix), gate, client, url)
    gate.close()


def as_settings(location: S3Location) -> dict[str, Any]:
    """`STORAGES["exports"]` for a bucket."""
    return {
        "BACKEND": "gdpr.bucket.Bucket",
        "OPTIONS": {"bucket_name": location.bucket, "location": location.prefix},
    }
