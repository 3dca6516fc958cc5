import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_URL: Final = re.compile(r"([^:/?#]*):(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)  # RFC 3986, appendix B
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # the last label of an IPv4 address, in any spelling
_PATH: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}
_LENGTH_CAP: Final = 2048


class BlockedAddress(ValueError):
    """The URL, or an address behind it, is one we do not send to."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, in its one normal form; `literal` says that the host is an IP address (without brackets)."""

    scheme: str
    host: str
    port: int
    path: str
    literal: bool

    @property
    def origin(self) -> str:
        """What may be shown in an error: paths and queries of webhook URLs carry tokens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @property
    def url(self) -> str:
        return self.origin + self.path


@lru_cache(maxsize=4096)  # an endpoint's URL comes with each of its events
def parse_target(url: str) -> Target:
    """Take a URL apart by RFC 3986, more strictly than any library behind us; raises `BlockedAddress`.

    One strict reading is what keeps two parsers from disagreeing about the host: whatever libcurl, urllib3 or a
    browser would interpret, repair or ignore (backslashes, spaces, octal addresses, user names) is refused here.
    """
    if len(url) > _LENGTH_CAP:
        raise BlockedAddress(f"url: has {len(url)} characters; at most {_LENGTH_CAP} are allowed")
    if odd := next((c for c in url if not "!" <= c <= "~"), None):
        raise BlockedAddress(
            f"url: contains the character U+{ord(odd):04X}; only printable ASCII is allowed "
            "(percent-encode it in a path, write a host name in punycode)"
        )
    match = _URL.fullmatch(url)
    if match is None or match[2] is None:
        raise BlockedAddress("url: is not absolute; write it as https://host/path")
    scheme, authority, path = match[1].lower(), match[2], (match[3] or "/") + (match[4] or "")
    if scheme not in _PORTS:
        raise BlockedAddress(f"url: uses the scheme {scheme[:20] or '(none)'}; only https is allowed")
    if "@" in authority:
        raise BlockedAddress("url: contains a user name or password; put them into a header")
    if match[5] is not None:
        raise BlockedAddress("url: contains a fragment (#), which is never sent to a server; remove it")
    if not _PATH.fullmatch(path):
        raise BlockedAddress("url: the path or query contains a character that has to be percent-encoded")
    host, port = _split_port(authority, default=_PORTS[scheme])
    name, literal = _read_host(host)
    return Target(scheme=scheme, host=name, port=port, path=path, literal=literal)


def _split_port(authority: str, *, default: int) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):  # none, or the colons of an IPv6 address
        return authority, default
    if not (port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise BlockedAddress(f"url: has the port {port[:20] or '(empty)'}; a port is a number from 1 to 65535")
    return host, int(port)


def _read_host(host: str) -> tuple[str, bool]:
    host = host.lower()
    if host.startswith("[") and host.endswith("]"):
        try:
            address = IPv6Address(host[1:-1])
        except ValueError:
            address = None
        if address is None or address.scope_id:
            raise BlockedAddress(f"url: {host} is not an IPv6 address without a zone")
        return address.compressed, True
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # The C library also reads 2130706433, 0x7f.1 and 0177.0.0.1 as addresses; a reader would not.
        try:
            return str(IPv4Address(host)), True
        except ValueError:
            raise BlockedAddress(
                f"url: {host[:60]} looks like an IPv4 address but is not four decimal numbers such as 203.0.113.7"
            ) from None
    if not host:
        raise BlockedAddress("url: has no host")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise BlockedAddress(f"url: {host[:60]} is not a host name")
    return host, False
