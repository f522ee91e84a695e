"""Keys of credentials are changed while they are in use, and what was tampered with does not open."""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from app.activities.vault import Vault
from app.api.auth import issue_token
from app.blocks.credentials import ApiKey, CredentialsMissing
from app.encryption.credentials import CredentialsEncryption
from app.encryption.keys import EncryptionKey
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.outbound.http import OutboundHttp
from app.outbound.oauth import OAuthClient
from app.secrecy import keeping_secrets
from tests.credentials import keep
from tests.engine import Engine, make_engine
from tests.rest_api import SECRET, RestApi, run_api

OLD, NEW = EncryptionKey(b"o" * 32), EncryptionKey(b"n" * 32)
NEED = CredentialsNeed(("acme",))


@pytest.fixture
async def engine(client: Client, own_database_url: str) -> AsyncIterator[Engine]:
    """An engine over a database of the test's own, since all credentials in it are encrypted anew."""
    async with make_engine(client, own_database_url) as running:
        yield running


@pytest.fixture
async def vault_of(engine: Engine) -> AsyncIterator[Callable[..., Vault]]:
    """Open vaults on the database: `vault_of(key, …)`."""
    http = OutboundHttp()
    yield lambda *keys: Vault(engine.pool, CredentialsEncryption(keys), OAuthClient(http, {}))
    await http.aclose()


@asynccontextmanager
async def api_with(engine: Engine, client: Client, *keys: EncryptionKey) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(engine.database_url, connect, encryption_keys=keys) as running:
        yield running


async def owner_of(engine: Engine, credentials_id: str) -> str:
    owner: str = await engine.pool.fetchval("SELECT user_id FROM credentials WHERE id = $1", credentials_id)
    return owner


async def key_of(engine: Engine, credentials_id: str) -> str:
    key_id: str = await engine.pool.fetchval("SELECT key_id FROM credentials WHERE id = $1", credentials_id)
    return key_id


async def test_what_an_older_key_has_sealed_is_sealed_anew_when_it_is_used(
    engine: Engine, client: Client, vault_of: Callable[..., Vault]
) -> None:
    async with api_with(engine, client, OLD) as api, api.caller() as alice:
        kept = await keep(alice, "api_key", "a secret")
    owner = await owner_of(engine, kept)
    assert await key_of(engine, kept) == OLD.id
    for keys in ((OLD,), (NEW, OLD), (NEW,)):
        assert await vault_of(*keys).require(owner, kept, NEED) == ApiKey("acme", "a secret")
        assert await key_of(engine, kept) == keys[0].id
    with pytest.raises(CredentialsMissing, match="a key that this server does not have"):
        await vault_of(OLD).require(owner, kept, NEED)


async def test_an_administrator_has_everything_sealed_anew(engine: Engine, client: Client) -> None:
    async with api_with(engine, client, OLD) as api, api.caller() as alice:
        kept = [await keep(alice, "api_key", f"secret {number}") for number in range(3)]
    await engine.pool.execute(
        "UPDATE credentials SET secret = 'damaged', key_id = $2 WHERE id = $1", kept[2], OLD.id
    )
    admin = issue_token(SECRET, email="admin@example.org", role="admin")
    async with api_with(engine, client, NEW, OLD) as api:
        path = "/api/admin/credentials/reencrypt"
        async with api.caller() as nobody, api.caller(token=admin) as caller:
            assert (await nobody.post(path)).status_code == 403
            assert (await caller.post(path)).json() == {"reencrypted": 2, "unreadable": 1}
            assert (await caller.post(path)).json() == {"reencrypted": 0, "unreadable": 1}
    assert [await key_of(engine, each) for each in kept] == [NEW.id, NEW.id, OLD.id]


async def test_a_secret_opens_for_its_owner_and_its_credentials_alone(
    engine: Engine, client: Client, vault_of: Callable[..., Vault]
) -> None:
    async with api_with(engine, client, NEW) as api, api.caller() as alice, api.caller() as bob:
        one, two = await keep(alice, "api_key", "one"), await keep(alice, "api_key", "two")
        theirs = await keep(bob, "api_key", "theirs")
    owner, vault = await owner_of(engine, one), vault_of(NEW)
    for absent in (theirs, str(uuid.uuid4()), "no id", ""):
        with pytest.raises(CredentialsMissing, match="do not exist any more"):
            await vault.require(owner, absent, NEED)
    copy = "UPDATE credentials SET secret = (SELECT secret FROM credentials WHERE id = $2) WHERE id = $1"
    for source in (two, theirs):
        await engine.pool.execute(copy, one, source)
        with pytest.raises(CredentialsMissing, match="they were changed"):
            await vault.require(owner, one, NEED)
    for damaged in (b"", b"x", b"x" * 200):
        await engine.pool.execute("UPDATE credentials SET secret = $2 WHERE id = $1", one, damaged)
        with pytest.raises(CredentialsMissing, match="they were changed"):
            await vault.require(owner, one, NEED)


async def test_credentials_for_something_else_are_not_opened(
    engine: Engine, client: Client, vault_of: Callable[..., Vault]
) -> None:
    async with api_with(engine, client, NEW) as api, api.caller() as alice:
        kept = await keep(alice, "api_key", "one")
        expired = await keep(alice, "api_key", "one", expires_at="2020-01-01T00:00:00Z")
    owner, vault = await owner_of(engine, kept), vault_of(NEW)
    with pytest.raises(CredentialsMissing, match="'acme'"):
        await vault.require(owner, kept, CredentialsNeed(("other",)))
    with pytest.raises(CredentialsMissing, match="expired"):
        await vault.require(owner, expired, NEED)


async def test_a_server_without_a_key_keeps_no_credentials(engine: Engine, client: Client) -> None:
    async with api_with(engine, client) as api, api.caller() as alice:
        refused = await _create(alice)
        assert refused.status_code == 500
        assert refused.json()["error"]["error_code"] == "CREDENTIALS_UNREADABLE"
        assert (await alice.get("/api/credentials")).json()["items"] == []


async def _create(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(
        "/api/credentials", json={"provider": "acme", "type": "api_key", "api_key": "a secret"}
    )


@pytest.mark.parametrize(
    ("kind", "provider", "given", "sent"),
    [
        ("api_key", "acme", {"api_key": "a-long-key"}, "a-long-key"),
        (
            "user_password",
            "acme",
            {"username": "ada", "password": "a-password"},
            base64.b64encode(b"ada:a-password").decode(),
        ),
        ("host_scoped", "http", {"host": "a.test", "headers": {"X-Key": "a-header"}}, "a-header"),
        (
            "host_scoped",
            "http",
            {"host": "a.test", "headers": {"Authorization": "Bearer a-token"}},
            "a-token",
        ),
    ],
)
async def test_what_is_opened_is_hidden_in_the_form_in_which_it_is_sent(
    engine: Engine,
    client: Client,
    vault_of: Callable[..., Vault],
    kind: str,
    provider: str,
    given: dict[str, Any],
    sent: str,
) -> None:
    async with api_with(engine, client, NEW) as api, api.caller() as alice:
        body = {"type": kind, "provider": provider, **given}
        created = await alice.post("/api/credentials", json=body)
    kept = created.json()["id"]
    with keeping_secrets() as secrets:
        need = CredentialsNeed((provider,), (CredentialsType(kind),))
        await vault_of(NEW).require(await owner_of(engine, kept), kept, need)
    assert secrets.scrub(f"<{sent}>") == "<[hidden]>"
