"""Who is at the other end of a download, as far as a web server can tell."""

import ipaddress
from dataclasses import dataclass
from itertools import islice

from django.http import HttpRequest

from audit.api.auth import client_address

MOST_USER_AGENT = 200


@dataclass(frozen=True, slots=True)
class Client:
    """What an access keeps of whoever asked. The address is what the web server vouches for, the rest a mere claim."""

    address: str | None = None
    user_agent: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> "Client":
        claimed = request.headers.get("user-agent", "")
        printable = islice((letter for letter in claimed if letter.isprintable()), MOST_USER_AGENT)
        return cls(address=_address(client_address(request)), user_agent="".join(printable))


def _address(text: str) -> str | None:
    """An address as Postgres takes it; None for a peer that has none, at a Unix socket say."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])  # no zone: it means nothing on another machine
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
