"""Blocks that need credentials of each type and show that they got them, and the graphs that tests make of them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any, ClassVar

import httpx

from app.blocks.base import BlockInput, BlockOutput, RemoteBlock
from app.blocks.context import BlockContext
from app.blocks.credentials import (
    ApiKey,
    Credentials,
    CredentialsMissing,
    CredentialsRef,
    HostHeaders,
    OAuth2Token,
    UserPassword,
)
from app.blocks.registry import BLOCK_CLASSES, BlockRegistry
from app.errors import BlockError, BlockUnavailable
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.graph.signature import RetryPolicy
from tests.e2e.rest import graph, node


def secret_of(found: Credentials) -> str:
    """Return the secret in credentials."""
    match found:
        case ApiKey(key=text) | UserPassword(password=text) | OAuth2Token(access_token=text):
            return text
        case HostHeaders(headers=headers):
            return next(iter(headers.values()))


def trace_of(secret: str) -> str:
    """Return what shows that somebody knows a secret, without telling it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def _need(kind: CredentialsType, **more: Any) -> MappingProxyType[str, CredentialsNeed]:
    provider = "http" if kind is CredentialsType.HOST_SCOPED else "acme"
    return MappingProxyType({"credentials": CredentialsNeed((provider,), (kind,), **more)})


class KeyProbe(RemoteBlock):
    """Shows a trace of an API key, or fails with it in every way there is."""

    id = "5b7f4c1e-0000-4d5e-8f00-0000000000a1"
    retry = RetryPolicy(max_attempts=2, initial_seconds=0.05)
    credentials: ClassVar = _need(CredentialsType.API_KEY)

    class Input(BlockInput):
        """What to do with the secret."""

        credentials: CredentialsRef | None = None
        act: str = "show"
        value: Any = None
        url: str = "https://api.acme.test/v1"
        note: dict[str, Any] | None = None

    class Output(BlockOutput):
        """The trace."""

        out: Any

    async def run(self, given: Any, context: BlockContext) -> AsyncIterator[tuple[str, Any]]:
        found = await context.credentials.find("credentials")
        if found is None:
            raise CredentialsMissing
        secret = secret_of(found)
        match given.act:
            case "fail":
                raise BlockError(f"The service said: key {secret} is wrong")
            case "fail for a while":
                raise BlockUnavailable(f"{'x' * 1_990}{secret}") from ValueError(secret)
            case "crash":
                raise ValueError(f"cannot parse {secret!r}")
            case "say so":
                yield "error", f"no luck with {secret}"
            case _:
                yield "out", trace_of(secret)


class PasswordProbe(KeyProbe):
    """The same for a password."""

    id = "5b7f4c1e-0000-4d5e-8f00-0000000000a2"
    credentials: ClassVar = _need(CredentialsType.USER_PASSWORD)


class TokenProbe(KeyProbe):
    """The same for a token."""

    id = "5b7f4c1e-0000-4d5e-8f00-0000000000a3"
    credentials: ClassVar = _need(CredentialsType.OAUTH2, scopes=("read",))


class HeadersProbe(KeyProbe):
    """The same for headers."""

    id = "5b7f4c1e-0000-4d5e-8f00-0000000000a4"
    credentials: ClassVar = _need(CredentialsType.HOST_SCOPED, discriminator="url")


PROBES = (KeyProbe, PasswordProbe, TokenProbe, HeadersProbe)
KEYS = {
    "api_key": "acme_api_key_credentials",
    "user_password": "acme_user_password_credentials",
    "oauth2": "acme_oauth2_credentials",
    "host_scoped": "api.acme.test-http_host_scoped_credentials",
}
"""The keys under which the probes' credentials are chosen, by type."""


def make_registry() -> BlockRegistry:
    """Return all blocks, and the probes."""
    return BlockRegistry([*(make() for make in PROBES), *(make() for make in BLOCK_CLASSES)])


def body_of(kind: str, secret: str) -> dict[str, Any]:
    """Return what credentials of a type are made from."""
    fields: dict[str, dict[str, Any]] = {
        "api_key": {"provider": "acme", "api_key": secret},
        "user_password": {"provider": "acme", "username": "somebody", "password": secret},
        "oauth2": {"provider": "acme", "access_token": secret, "scopes": ["read", "write"]},
        "host_scoped": {"provider": "http", "host": "api.acme.test", "headers": {"X-Acme": secret}},
    }
    return {"type": kind, "title": f"my {kind}", **fields[kind]}


async def keep(client: httpx.AsyncClient, kind: str, secret: str, **more: Any) -> str:
    """Keep credentials; return their id."""
    response = await client.post("/api/credentials", json={**body_of(kind, secret), **more})
    assert response.status_code == 201, response.text
    credentials_id: str = response.json()["id"]
    return credentials_id


def probing(block: type[RemoteBlock] = KeyProbe, /, **constants: Any) -> dict[str, Any]:
    """Return a graph of one probe and its output."""
    nodes = [node("probe", block.id, **constants), node("out", "agent_output_block", name="trace")]
    return graph(nodes, ["probe.out -> out.value"])
