from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from webhooks.sending.special_ranges import Address, why_special
from webhooks.sending.target import BlockedAddress, Target, parse_target

__all__ = ["AddressPolicy", "BlockedAddress"]


@dataclass(frozen=True)
class AddressPolicy:
    """Where a webhook may connect.

    `allowed_networks` opens special ranges (development, a receiver inside one's own network) and `allow_http` the
    scheme http. An IPv4 range does not open its IPv6 spellings (mapped, NAT64): those want a range of their own.
    """

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_http: bool = False

    def check_url(self, url: str) -> None:
        """Refuse a URL that could never be sent to, without looking its name up; raises `BlockedAddress`."""
        self.target(url)

    def target(self, url: str) -> Target:
        """Take a URL apart and check what the text alone can tell; raises `BlockedAddress`."""
        target = parse_target(url)
        if target.scheme == "http" and not self.allow_http:
            raise BlockedAddress(
                f"url: {target.origin} uses the scheme http; only https is allowed (WEBHOOK_ALLOW_HTTP opens http)"
            )
        if target.literal:
            self.check_addresses(target.host, [target.host])
        return target

    def check_addresses(self, host: str, addresses: Sequence[str]) -> None:
        """Check all a name resolves to; raises `BlockedAddress` where a single one is special.

        A set that mixes public and special addresses is refused as a whole: which of them gets connected is a matter
        of luck or of the name's owner, and nobody who serves the public needs such a name.
        """
        for text in addresses:
            if reason := self._why_closed(text):
                if host == text:
                    raise BlockedAddress(f"url: {host} is not a public address: {reason}")
                # The address itself is not told: a name of our own network would tell what it stands for there.
                raise BlockedAddress(f"url: {host} resolves to what is not a public address")
        if not addresses:
            raise BlockedAddress(f"url: {host} resolves to no address")

    def permits(self, address: str | Address) -> bool:
        """Whether a connection to this address may be opened; False also for what is no address."""
        return self._why_closed(str(address)) is None

    def _why_closed(self, text: str) -> str | None:
        return _why_closed(text, self.allowed_networks)


@lru_cache(maxsize=4096)
def _why_closed(text: str, allowed: tuple[IPv4Network | IPv6Network, ...]) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return "it is not an IP address"
    if getattr(address, "scope_id", None):
        return "it has a zone, so it is local to one machine"
    reason = why_special(address)
    if reason is not None and any(address in network for network in allowed):
        return None
    return reason
