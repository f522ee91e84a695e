"""Credentials as a block is given them, at the moment it uses them. They are nowhere else in clear text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from app.errors import BlockError, Category


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a service."""

    provider: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UserPassword:
    """A name and a password."""

    provider: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuth2Token:
    """A token that is valid now: it was refreshed if it had to be."""

    provider: str
    access_token: str = field(repr=False)
    username: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostHeaders:
    """Headers for one host."""

    provider: str
    host: str
    """A host name, `host:port`, or `*.name` for all below a name."""
    headers: dict[str, str] = field(repr=False)


class CredentialsRef(BaseModel):
    """Which credentials a node uses: what stands in a graph, an input of a block, a history. Never a secret."""

    model_config = ConfigDict(extra="ignore")

    id: str = ""
    """Of the credentials; empty when they are chosen when the graph is executed."""
    provider: str = ""
    type: str = ""
    title: str | None = None


Credentials: TypeAlias = ApiKey | UserPassword | OAuth2Token | HostHeaders


class CredentialsMissing(BlockError):
    """The block needs credentials and was given none."""

    code = "CREDENTIALS_MISSING"
    category = Category.AUTH
