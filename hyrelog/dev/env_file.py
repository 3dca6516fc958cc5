"""The file `env` in the state folder: what was generated once and must stay the same from start to start."""

import base64
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from hyrelog.env import parse_env_file

_GENERATED: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    # A Fernet key by its definition, without loading `cryptography` into a process that only supervises.
    "HYRELOG_ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    # The seed of an Ed25519 key by its definition.
    "HYRELOG_SIGNING_KEY": lambda: secrets.token_hex(32),
    "FLOWER_BASIC_AUTH": lambda: f"hyrelog:{secrets.token_urlsafe(16)}",
    "DEMO_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(16),
    # Development sends webhooks to this machine; production never may.
    "WEBHOOK_ALLOWED_NETWORKS": lambda: "127.0.0.0/8,::1/128",
    "WEBHOOK_ALLOW_HTTP": lambda: "true",
    "LOG_FORMAT": lambda: "console",
    "EMAIL_BACKEND": lambda: "console",
}
_HEADING = "# Written by `python manage.py up`, and read by settings wherever the environment itself says nothing else."


def complete(file: Path) -> None:
    """Add what is missing; what is there stays."""
    present = parse_env_file(file)
    write(file, {name: make() for name, make in _GENERATED.items() if name not in present})


def write(file: Path, values: Mapping[str, str]) -> None:
    """Set these values and keep every other line, so that a reader sees the old file or the new one, never a part."""
    for name, value in values.items():
        if value != value.strip() or not value.isprintable():
            raise ValueError(f"{name}={value!r} cannot stand in {file}: no line breaks, no spaces around a value.")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = [_HEADING]
    left = dict(values)
    lines = [f"{name}={left.pop(name)}" if (name := _name(line)) in left else line for line in lines]
    replace(file, "".join(f"{line}\n" for line in [*lines, *(f"{name}={value}" for name, value in left.items())]))


def replace(file: Path, text: str) -> None:
    """Put a file of this text in the place of the old one, readable by its owner alone."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", delete=False) as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())  # a lost encryption key makes the data that it encrypted worthless
    Path(new.name).replace(file)


def _name(line: str) -> str:
    return "" if line.lstrip().startswith("#") else line.split("=", 1)[0].strip()
