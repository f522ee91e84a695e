"""The form of API keys: how one is made, how it is told from a token, and what is kept of it. Knows no database."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from app.errors import Unauthenticated

MARK = "prd_"
"""Begins every key, so that scanners for leaked secrets, and we, know one when they see it."""
PREFIX_LENGTH = 10
SECRET_LENGTH = 43
"""Characters of 62 kinds: 256 bits. Nobody guesses it, so a plain hash of it tells nothing."""
_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(rf"{MARK}([A-Za-z0-9]{{{PREFIX_LENGTH}}})_[A-Za-z0-9]{{{SECRET_LENGTH}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A whole key, for the moment in which it is made or checked."""

    text: str = field(repr=False)
    prefix: str
    """By which its row is found; may be shown."""

    @property
    def hash(self) -> bytes:
        """Return what is kept of the key."""
        return hashlib.sha256(self.text.encode()).digest()


def make_key(prefix: str | None = None) -> KeyText:
    """Return a new key, with a prefix that it had before or a new one."""
    prefix = prefix or _random(PREFIX_LENGTH)
    return KeyText(f"{MARK}{prefix}_{_random(SECRET_LENGTH)}", prefix)


def is_key(credential: str) -> bool:
    """Answer whether a credential means to be an API key, good or not."""
    return credential.startswith(MARK)


def read_key(credential: str) -> KeyText:
    """Take a key apart.

    Raises:
        Unauthenticated: It has not the form of one.
    """
    found = _FORM.fullmatch(credential)
    if found is None:
        raise Unauthenticated
    return KeyText(credential, found[1])


def read_network(text: str) -> IPv4Network | IPv6Network:
    """Read an address or a network in CIDR notation.

    Raises:
        ValueError: It is none.
    """
    return ip_network(text, strict=False)


def is_within(address: str | None, networks: Sequence[str]) -> bool:
    """Answer whether a request from an address comes from one of some networks; no networks are all of them."""
    if not networks:
        return True
    found = _read_address(address)
    return found is not None and any(found in read_network(network) for network in networks)


def are_within(networks: Sequence[str], outer: Sequence[str]) -> bool:
    """Answer whether some networks allow no address that others do not; no networks are all of them."""
    if not outer:
        return True
    around = [read_network(network) for network in outer]
    return bool(networks) and all(
        any(_is_subnet(read_network(network), other) for other in around) for network in networks
    )


def _is_subnet(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return (
        network.version == other.version
        and network.network_address in other
        and network.prefixlen >= other.prefixlen
    )


def _read_address(address: str | None) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address or "")
    except ValueError:
        return None
    # A socket for both versions shows version 4 in the dress of version 6.
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
