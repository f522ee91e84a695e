"""Credentials as a block is given them, at the moment it uses them. They are nowhere else in clear text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

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


def headers_for(credentials: HostHeaders, url: str) -> dict[str, str]:
    """Return the headers when they are for the host of a URL, else none.

    A host without a port stands for the usual ports of the web.
    """
    try:
        target, stored = urlsplit(url.strip()), urlsplit(f"//{credentials.host.strip()}")
        usual = {"http": 80, "https": 443}.get(target.scheme)
        is_port = usual is not None and (target.port or usual) == (stored.port or usual)
    except ValueError:
        return {}
    host, wanted = (target.hostname or "").rstrip("."), stored.hostname or ""
    is_host = host.endswith(wanted[1:]) if wanted.startswith("*.") else host == wanted
    return dict(credentials.headers) if is_port and is_host and host else {}


Credentials: TypeAlias = ApiKey | UserPassword | OAuth2Token | HostHeaders


class CredentialsMissing(BlockError):
    """The block needs credentials and was given none."""

    code = "CREDENTIALS_MISSING"
    category = Category.AUTH
