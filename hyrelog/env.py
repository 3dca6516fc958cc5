"""The one typed reader of the environment.

A setting comes from the process environment or, failing that, from the file `env` in the state folder that
`manage.py up` writes (`HYRELOG_HOME`, by default `.hyrelog` in the checkout). A value that breaks its rule does
not raise here: the default stands in and the problem is kept, so that Django's system checks can list all
of them at once, each with its hint, before any process starts its work.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any, TypeVar

import dj_database_url

T = TypeVar("T")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


_S3 = re.compile(
    r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])"
    r"(?:/(?P<prefix>(?!\.)[A-Za-z0-9_.=-]+(?:/(?!\.)[A-Za-z0-9_.=-]+)*))?/?"
)


@dataclass(frozen=True)
class S3Location:
    """A bucket, and what the names of objects in it begin with; empty for nothing."""

    bucket: str
    prefix: str


@dataclass(frozen=True)
class Problem:
    """A setting whose value breaks its rule."""

    name: str
    message: str
    hint: str


class Environment:
    """Reads settings by name and type; `problems` holds what was wrong with them."""

    def __init__(self, *, file: Path) -> None:
        self.problems: list[Problem] = []
        self._values = {**parse_env_file(file), **os.environ}

    def text(self, name: str, default: str = "", *, choices: tuple[str, ...] = ()) -> str:
        """A text; with `choices`, one of them."""

        def parse(raw: str) -> str:
            if choices and raw not in choices:
                raise ValueError
            return raw

        return self._read(name, default, parse, f"one of {', '.join(choices)}")

    def required(self, name: str, *, hint: str) -> str:
        """A text that has no default.

        An empty one stands in where it is missing, and the problem is kept.
        """
        value = self._values.get(name, "")
        if not value:
            self.problems.append(Problem(name, f"{name} is not set.", hint))
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        """One of 1, true, yes, on and 0, false, no, off, in any case."""
        words = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }

        def parse(raw: str) -> bool:
            try:
                return words[raw.strip().lower()]
            except KeyError:
                raise ValueError from None

        return self._read(name, default, parse, "true or false")

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number between `least` and `most`, both included."""

        def parse(raw: str) -> int:
            value = int(raw)
            if not least <= value <= most:
                raise ValueError
            return value

        return self._read(name, default, parse, f"a whole number from {least} to {most}")

    def seconds(self, name: str, default: float, *, most: float) -> float:
        """A duration in seconds, more than zero and at most `most`."""

        def parse(raw: str) -> float:
            value = float(raw)
            if not 0 < value <= most:
                raise ValueError
            return value

        return self._read(name, default, parse, f"seconds, more than 0 and at most {most:g}")

    def hours(self, name: str, default: float, *, most: float) -> float:
        """A duration in hours, more than zero and at most `most`."""

        def parse(raw: str) -> float:
            value = float(raw)
            if not 0 < value <= most:
                raise ValueError
            return value

        return self._read(name, default, parse, f"hours, more than 0 and at most {most:g}")

    def sender(self, name: str, default: str) -> str:
        """An e-mail address, with or without a name before it: `HyreLog <hyrelog@example.com>`."""
        return self._read(name, default, _mailbox, "an e-mail address such as HyreLog <hyrelog@example.com>")

    def recipients(self, name: str) -> tuple[str, ...]:
        """Comma-separated e-mail addresses, each as `sender` takes it; none by default."""

        def parse(raw: str) -> tuple[str, ...]:
            return tuple(_mailbox(part.strip()) for part in raw.split(",") if part.strip())

        return self._read(name, (), parse, "e-mail addresses, comma-separated, such as ops@example.com,cto@example.com")

    def storage(self, name: str, default: Path | S3Location) -> Path | S3Location:
        """The absolute path of a folder, which need not exist yet, or `s3://bucket/prefix`."""

        def parse(raw: str) -> Path | S3Location:
            if match := _S3.fullmatch(raw):
                return S3Location(bucket=match["bucket"], prefix=match["prefix"] or "")
            if not Path(raw).is_absolute():
                raise ValueError
            return Path(raw)

        rule = "the absolute path of a folder, such as /var/lib/hyrelog/exports, or a bucket, as in s3://bucket/prefix"
        return self._read(name, default, parse, rule, secret="@" in self._values.get(name, ""))

    def schedule(self, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """Comma-separated pauses in seconds; 1 to 20 of them, each at most 30 days."""

        def parse(raw: str) -> tuple[float, ...]:
            pauses = tuple(float(part) for part in raw.split(","))
            if not 1 <= len(pauses) <= 20 or not all(0 < pause <= 30 * 86_400 for pause in pauses):
                raise ValueError
            return pauses

        return self._read(name, default, parse, "1 to 20 pauses in seconds, comma-separated, such as 60,300,1800")

    def networks(self, name: str) -> tuple[Network, ...]:
        """Comma-separated IP networks in CIDR form; none by default."""

        def parse(raw: str) -> tuple[Network, ...]:
            return tuple(ipaddress.ip_network(part.strip()) for part in raw.split(",") if part.strip())

        return self._read(name, (), parse, "networks in CIDR form, comma-separated, such as 127.0.0.0/8,::1/128")

    def names(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Comma-separated texts; empty parts are dropped."""
        return self._read(name, default, lambda raw: tuple(p.strip() for p in raw.split(",") if p.strip()), "a list")

    def database(self, name: str) -> Mapping[str, Any]:
        """A Postgres URL, as Django's settings for a database; it has no default."""
        nowhere: Mapping[str, Any] = {"ENGINE": "django.db.backends.postgresql", "NAME": "hyrelog"}
        if not self._values.get(name):
            self.required(name, hint="Example: postgres://user:password@host:5432/hyrelog.")
            return nowhere

        def parse(raw: str) -> Mapping[str, Any]:
            if not raw.startswith(("postgres://", "postgresql://")):
                raise ValueError
            return {**dj_database_url.parse(raw)}

        return self._read(name, nowhere, parse, "a URL such as postgres://user:password@host:5432/hyrelog", secret=True)

    def pass_on(self, *, prefix: str) -> None:
        """Put what the file says by names that begin so into the environment, for a library that reads it there."""
        os.environ.update({name: value for name, value in self._values.items() if name.startswith(prefix)})

    def _read(self, name: str, default: T, parse: Callable[[str], T], rule: str, *, secret: bool = False) -> T:
        raw = self._values.get(name)
        if raw is None:
            return default
        try:
            return parse(raw)
        except ValueError:
            shown = name if secret else f"{name}={raw!r}"  # a URL may hold a password
            self.problems.append(Problem(name, f"{shown} is not {rule}.", f"Set {name} to {rule}."))
            return default


def _mailbox(raw: str) -> str:
    _, address = parseaddr(raw)
    whole = raw == address or raw.endswith(f"<{address}>")  # what cannot be read is left out
    if not whole or not raw.isprintable() or not all(address.partition("@")):
        raise ValueError
    return raw


def parse_env_file(file: Path) -> dict[str, str]:
    """The `NAME=value` lines of a file.

    Blank lines and lines that begin with `#` are passed over; a missing file is an empty one.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}
