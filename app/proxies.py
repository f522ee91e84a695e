"""Where a request comes from: the socket says so, and whoever stands in front of it if it is trusted to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPV6_PREFIX = 64
"""Whoever has an IPv6 address has a whole network of them."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Whose word counts about where a request comes from: so many proxies in a row, or those of some networks."""

    count: int = 0
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """Read `2`, or `10.0.0.0/8, 192.0.2.7`; nothing for nobody.

        Raises:
            ValueError: It is neither.
        """
        if text.strip().isdecimal():
            return cls(count=int(text))
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return cls(networks=tuple(ipaddress.ip_network(part) for part in parts))

    def address_of(self, peer: str | None, forwarded_for: Sequence[str]) -> str | None:
        """Return the address of whoever has made a request, or None when that is not known.

        Args:
            peer: What the socket says.
            forwarded_for: The headers `X-Forwarded-For`.
        """
        if not self.count and not self.networks:
            return peer
        # Each proxy appends the address that it was called from, so what a caller has made up stands to the left.
        hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
        if self.count:
            return hops[-self.count] if len(hops) >= self.count and _read(hops[-self.count]) else peer
        while hops and self._is_trusted(peer):
            hop = hops.pop()
            if _read(hop) is None:
                break
            peer = hop
        return peer

    def _is_trusted(self, address: str | None) -> bool:
        read = _read(address or "")
        return read is not None and any(read in network for network in self.networks)


def group_of(address: str | None) -> str:
    """Return whom an address stands for when requests are counted: itself, or its network of IPv6."""
    read = _read(address or "")
    if isinstance(read, IPv6Address):
        return str(ipaddress.ip_network((read, IPV6_PREFIX), strict=False))
    return str(read) if read else "unknown"


def _read(text: str) -> IPv4Address | IPv6Address | None:
    try:
        read = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read
