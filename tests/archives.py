"""Archives as their receivers use them: downloaded by a link, unpacked, checked by what lies in them."""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.system import System, wait_until

EXPORTS = "/v1/key/company/gdpr/exports"


def exported(system: System, **asked: Any) -> dict[str, Any]:
    """Request an export and wait for its end."""
    job_id = system.post("/v1/key/company/gdpr/export", asked)["jobId"]
    return ended(system, job_id)


def ended(system: System, job_id: str) -> dict[str, Any]:
    """An export that has come to its end."""

    def look() -> Any:
        shown = system.get(f"{EXPORTS}/{job_id}")
        return shown["status"] in {"COMPLETED", "FAILED"} and shown

    export: dict[str, Any] = wait_until(look, seconds=90, what="the export's end")
    assert export["status"] == "COMPLETED", export["error"]
    return export


def downloaded(system: System, export: dict[str, Any]) -> bytes:
    """The bytes of its archive, by a link."""
    link = system.post(f"{EXPORTS}/{export['jobId']}/links")
    answer = requests.get(link["url"], timeout=60)
    assert answer.status_code == 200
    return answer.content


@contextmanager
def opened(content: bytes) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield archive


def lines(content: bytes, table: str) -> list[dict[str, Any]]:
    """The rows of a table."""
    with opened(content) as archive:
        return [json.loads(line) for line in archive.read(f"data/{table}.ndjson").splitlines()]


def manifest(content: bytes) -> dict[str, Any]:
    with opened(content) as archive:
        found: dict[str, Any] = json.loads(archive.read("manifest.json"))
    return found


def public_key(system: System) -> str:
    """What HyreLog signs with, as everybody can ask for it."""
    answer = requests.get(system.run["web"] + "/v1/signing-keys", timeout=10)
    return str(answer.json()["keys"][0]["publicKey"])


def unpacked(content: bytes, folder: Path) -> Path:
    with opened(content) as archive:
        archive.extractall(folder)
    return folder


def verified(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the verifier says that lies in an unpacked archive, run with nothing but Python."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
