"""Which addresses blocks may reach.

A host is resolved, checked and connected to in one step, so that no second answer of the name server can slip
in between. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore2

from app.errors import BlockError, BlockInputInvalid, BlockUnavailable, Category

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, given it and the port."""

_REFUSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""What is not the public internet, and the one public address at which a cloud serves metadata."""

_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is assigned as global unicast. Whatever is outside is refused without asking what it is."""
_REFUSED_V6 = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
"""Inside it: Teredo and other protocol assignments, documentation, 6to4."""


class AddressRefused(BlockError):
    """Blocks may not reach this address."""

    code = "ADDRESS_REFUSED"
    category = Category.VALIDATION


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet, looking into IPv4 wrapped in IPv6.

    Raises:
        ValueError: It is not an IP address.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        wrapped = _wrapped_v4(parsed)
        if wrapped is None:
            return (
                parsed.scope_id is None
                and parsed in _GLOBAL_V6
                and not any(parsed in network for network in _REFUSED_V6)
            )
        parsed = wrapped
    return not any(parsed in network for network in _REFUSED_V4)


def _wrapped_v4(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None


def is_same_machine(one: str, other: str) -> bool:
    """Return whether two IP addresses are equal, or both are of this machine.

    Raises:
        ValueError: One is no IP address.
    """
    first, second = _unwrapped(ip_address(one)), _unwrapped(ip_address(other))
    return first == second or (_is_here(first) and _is_here(second))


def _is_here(address: IPv4Address | IPv6Address) -> bool:
    # A machine lets its programs bind its own addresses and no others; nothing is sent.
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return (_wrapped_v4(address) or address) if isinstance(address, IPv6Address) else address


def _host_and_port(service: str) -> tuple[str, int]:
    host, _, port = service.rpartition(":")
    return host.strip("[]"), int(port)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system resolves it.

    Raises:
        BlockInputInvalid: It cannot be the name of a host.
        BlockUnavailable: The name is not known, or no name server answered.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise BlockInputInvalid(f"{host} is not a host name") from error
    except OSError as error:
        raise BlockUnavailable(f"The host {host} was not found") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """The network as blocks see it: opens connections to checked addresses only."""

    def __init__(
        self,
        *,
        allowed_private_hosts: Iterable[str] = (),
        own_services: Iterable[str] = (),
        resolver: Resolver = resolve,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        """Set the rules.

        Args:
            allowed_private_hosts: Hosts, or `host:port`, that are reached whatever their address is.
            own_services: `host:port` of what runs this system: never reached, allowed or not.
            resolver: Finds the addresses of a host.
            network: Connects to an address that passed.
        """
        self._allowed = frozenset(entry.strip().lower() for entry in allowed_private_hosts)
        self._own_services = tuple(map(_host_and_port, own_services))
        self._resolver = resolver
        self._network = network or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of the host that answers.

        Raises:
            AddressRefused: One of its addresses is not public, or is one of our own services.
            BlockInputInvalid: It cannot be the name of a host.
            BlockUnavailable: It has no address.
            httpcore2.ConnectError: None of its addresses answered.
            httpcore2.ConnectTimeout: None of its addresses answered in time.
        """
        failure: Exception = httpcore2.ConnectError("No address answered")
        for address in await self.checked_addresses(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse.

        Raises:
            AddressRefused: Always.
        """
        raise AddressRefused("Blocks may not reach a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Sleep, between two tries to connect."""
        await self._network.sleep(seconds)

    async def checked_addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, for a client that connects to one of them by itself, at once.

        Raises:
            AddressRefused: One of its addresses is not public, or is one of our own services.
            BlockInputInvalid: It cannot be the name of a host.
            BlockUnavailable: It has no address.
        """
        addresses = await self._resolver(host, port)
        if not addresses:
            raise BlockUnavailable(f"The host {host} has no address")
        # One private address among public ones is how a name is made to look harmless: it spoils them all.
        if not self._is_allowed(host, port) and not all(map(is_public, addresses)):
            raise AddressRefused(f"Blocks may not reach {host}: its address is not public")
        if await self._is_own_service(addresses, port):
            raise AddressRefused(f"Blocks may not reach {host} at port {port}: it is a part of this system")
        return addresses

    def _is_allowed(self, host: str, port: int) -> bool:
        name = host.lower().rstrip(".")
        return not self._allowed.isdisjoint({name, f"{name}:{port}", f"[{name}]", f"[{name}]:{port}"})

    async def _is_own_service(self, addresses: Sequence[str], port: int) -> bool:
        # Looked up only when the port is one of theirs, and then anew: services move.
        for own_host in [own_host for own_host, own_port in self._own_services if own_port == port]:
            try:
                own = await self._resolver(own_host, port)
            except BlockError:
                continue
            if any(is_same_machine(one, other) for one in addresses for other in own):
                return True
        return False
