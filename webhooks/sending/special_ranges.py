"""The addresses no webhook may reach, after IANA's special-purpose registries.

Sources: iana-ipv4-special-registry, iana-ipv6-special-registry, ipv6-address-space, ipv4-multicast (read in 2025).
Written out rather than derived from `ipaddress.is_global`, which answers differently between Python versions and calls
some anycast and transition ranges global. Ranges that are globally reachable by the registry but cannot be somebody's
web server (relays, AS112 sinks) are closed as well: an allowance costs one setting, a hole costs a network.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""The only part of IPv6 handed out for public use (RFC 4291, 2.4): all else is closed unread."""

IPV4: Final[dict[IPv4Network, str]] = {
    IPv4Network("0.0.0.0/8"): "unspecified (RFC 791)",
    IPv4Network("10.0.0.0/8"): "private (RFC 1918)",
    IPv4Network("100.64.0.0/10"): "shared by carriers (RFC 6598)",
    IPv4Network("127.0.0.0/8"): "loopback (RFC 1122)",
    IPv4Network("168.63.129.16/32"): "the Azure platform's own service",  # public by number, internal by routing
    IPv4Network("169.254.0.0/16"): "link-local (RFC 3927)",
    IPv4Network("172.16.0.0/12"): "private (RFC 1918)",
    IPv4Network("192.0.0.0/24"): "reserved for protocols (RFC 6890)",
    IPv4Network("192.0.2.0/24"): "documentation (RFC 5737)",
    IPv4Network("192.31.196.0/24"): "an AS112 sink (RFC 7535)",
    IPv4Network("192.52.193.0/24"): "a multicast relay (RFC 7450)",
    IPv4Network("192.88.99.0/24"): "a 6to4 relay (RFC 7526)",
    IPv4Network("192.168.0.0/16"): "private (RFC 1918)",
    IPv4Network("192.175.48.0/24"): "an AS112 sink (RFC 7534)",
    IPv4Network("198.18.0.0/15"): "benchmarking (RFC 2544)",
    IPv4Network("198.51.100.0/24"): "documentation (RFC 5737)",
    IPv4Network("203.0.113.0/24"): "documentation (RFC 5737)",
    IPv4Network("224.0.0.0/4"): "multicast (RFC 5771)",
    IPv4Network("255.255.255.255/32"): "broadcast (RFC 919)",
    IPv4Network("240.0.0.0/4"): "reserved (RFC 1112)",
}

IPV6: Final[dict[IPv6Network, str]] = {
    IPv6Network("::/128"): "unspecified (RFC 4291)",
    IPv6Network("::1/128"): "loopback (RFC 4291)",
    IPv6Network("::/96"): "IPv4-compatible (RFC 4291)",
    IPv6Network("::ffff:0:0/96"): "IPv4-mapped (RFC 4291)",
    IPv6Network("::ffff:0:0:0/96"): "IPv4-translated (RFC 2765)",
    IPv6Network("64:ff9b::/96"): "NAT64 (RFC 6052)",
    IPv6Network("64:ff9b:1::/48"): "NAT64 (RFC 8215)",
    IPv6Network("100::/64"): "discard-only (RFC 6666)",
    IPv6Network("100:0:0:1::/64"): "a dummy prefix (RFC 9780)",
    IPv6Network("2001::/32"): "Teredo (RFC 4380)",
    IPv6Network("2001:2::/48"): "benchmarking (RFC 5180)",
    IPv6Network("2001:10::/28"): "ORCHID (RFC 4843)",
    IPv6Network("2001:20::/28"): "ORCHIDv2 (RFC 7343)",
    IPv6Network("2001::/23"): "reserved for protocols (RFC 2928)",
    IPv6Network("2001:db8::/32"): "documentation (RFC 3849)",
    IPv6Network("2002::/16"): "6to4 (RFC 3056)",
    IPv6Network("2620:4f:8000::/48"): "an AS112 sink (RFC 7534)",
    IPv6Network("3fff::/20"): "documentation (RFC 9637)",
    IPv6Network("5f00::/16"): "segment routing (RFC 9602)",
    IPv6Network("fc00::/7"): "unique local (RFC 4193)",
    IPv6Network("fe80::/10"): "link-local (RFC 4291)",
    IPv6Network("fec0::/10"): "site-local (RFC 3879)",
    IPv6Network("ff00::/8"): "multicast (RFC 4291)",
}


def why_special(address: Address) -> str | None:
    """Say which rule closes an address, None for one that is public."""
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in IPV4.items() if address in network), None)
    reason = next((reason for network, reason in IPV6.items() if address in network), None)
    if reason is None and address not in GLOBAL_UNICAST:
        return "not assigned for public use (RFC 4291)"
    return reason
