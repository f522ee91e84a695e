"""What a block needs to be let in somewhere: kinds of credentials, never credentials themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CredentialsType(StrEnum):
    """How somebody proves to a service who they are."""

    API_KEY = "api_key"
    USER_PASSWORD = "user_password"  # noqa: S105 - the name of a kind
    OAUTH2 = "oauth2"
    HOST_SCOPED = "host_scoped"
    """Headers that are sent to one host and to no other."""


@dataclass(frozen=True, slots=True)
class CredentialsNeed:
    """The credentials that one input of a block is for."""

    providers: tuple[str, ...]
    """Services that they may be for."""
    types: tuple[CredentialsType, ...] = (CredentialsType.API_KEY,)
    scopes: tuple[str, ...] = ()
    """What they have to allow, in the provider's words."""
    is_required: bool = True
    """Whether the block can do nothing without. False when the server's own keys, or none, do as well."""
    discriminator: str = ""
    """The input that decides for which of the providers, or for which host, they have to be; empty for none."""
    provider_of: Callable[[Any], str | None] | None = None
    """Returns the provider that a value of the discriminator stands for, or None for any of them."""
