"""Logins with OAuth2: begun and ended over REST, refreshed once however many need it, against a provider of our own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import httpx
import pytest
from temporalio.client import Client

from app.activities.vault import REFRESHING_AT_ONCE, Vault
from app.blocks.credentials import CredentialsMissing, OAuth2Token
from app.database import plain_url
from app.encryption.credentials import CredentialsEncryption, Sealed
from app.errors import BlockUnavailable
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.models import credential_uses
from app.outbound.http import OutboundHttp
from app.outbound.oauth import OAuthClient
from app.secrecy import keeping_secrets
from tests.credentials import keep
from tests.engine import KEYS, Engine, use_json
from tests.oauth import CLIENT_SECRET, LONG_AGO, Provider, begin, end, keep_expired, owner_of
from tests.rest_api import RestApi, run_api
from tests.stack import eventually

NEED = CredentialsNeed(("acme",), (CredentialsType.OAUTH2,))


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def api(engine: Engine, client: Client, provider: Provider) -> AsyncIterator[RestApi]:
    async def connect() -> Client:
        return client

    async with run_api(
        engine.database_url,
        connect,
        task_queue=engine.task_queue,
        oauth_providers={"acme": provider.described},
        allowed_private_hosts=frozenset({"127.0.0.1"}),
    ) as running:
        yield running


async def make_vault(engine: Engine, provider: Provider) -> AsyncIterator[Vault]:
    http = OutboundHttp(allowed_private_hosts={"127.0.0.1"})
    oauth = OAuthClient(http, {"acme": provider.described})
    yield Vault(engine.pool, CredentialsEncryption(KEYS), oauth)
    await http.aclose()


vault = pytest.fixture(make_vault)
other = pytest.fixture(make_vault)


async def test_a_login_ends_as_credentials(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    told, state = await begin(alice, scopes="mail")
    assert told["tenant"] == "1"
    assert told["client_id"] == "the-client"
    assert told["redirect_uri"] == "https://perdure.test/back"
    assert told["scope"] == "read mail"
    assert told["code_challenge_method"] == "S256"
    ended = await end(alice, state, title="my mail")
    assert ended.status_code == 201, ended.text
    assert ended.json()["title"] == "my mail"
    assert ended.json()["scopes"] == ["read", "mail"]
    assert "fresh" not in ended.text
    [asked] = provider.asked
    digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == told["code_challenge"]
    assert (asked["code"], asked["client_secret"]) == ("the-code", CLIENT_SECRET)
    kept = ended.json()["id"]
    token = await vault.require(await owner_of(engine, kept), kept, NEED)
    assert token == OAuth2Token("acme", "fresh-access", "", ("read", "mail"))


async def test_a_login_comes_back_once_and_to_its_user_alone(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, provider: Provider
) -> None:
    _, state = await begin(alice)
    for stolen in (state, state[:-3] + "AAA", "x", "x.y", "."):
        assert (await end(bob, stolen)).status_code == 422
    assert provider.asked == []
    assert (await end(alice, state)).status_code == 201
    again = await end(alice, state)
    assert (again.status_code, len(provider.asked)) == (422, 1)
    assert (await alice.get("/api/credentials/oauth/other/login")).status_code == 404
    assert (await bob.get("/api/credentials")).json()["items"] == []


async def test_a_provider_that_refuses_or_is_away_is_told_without_its_words(
    alice: httpx.AsyncClient, provider: Provider
) -> None:
    provider.answer = {"error": "invalid_grant", "error_description": "the-code is wrong"}
    for status, expected in ((400, 422), (200, 422), (500, 503)):
        provider.status = status
        _, state = await begin(alice)
        response = await end(alice, state)
        assert response.status_code == expected, response.text
        assert "the-code" not in response.text
        assert CLIENT_SECRET not in response.text
    assert (await alice.get("/api/credentials")).json()["items"] == []


async def test_an_expired_token_is_refreshed_once_however_many_need_it(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault, other: Vault
) -> None:
    kept = await keep(alice, "oauth2", "old-access", refresh_token="old-refresh", expires_at=LONG_AGO)
    owner = await owner_of(engine, kept)
    tokens = await asyncio.gather(
        *(each.require(owner, kept, NEED) for each in (vault, other) for _ in range(20))
    )
    assert {token.access_token for token in tokens if isinstance(token, OAuth2Token)} == {"fresh-access"}
    [asked] = provider.asked
    assert (asked["grant_type"], asked["refresh_token"]) == ("refresh_token", "old-refresh")
    await engine.pool.execute(
        "UPDATE credentials SET expires_at = now() + interval '30 s' WHERE id = $1", kept
    )
    await vault.require(owner, kept, NEED)
    assert provider.asked[-1]["refresh_token"] == "fresh-refresh"


async def test_a_login_that_is_no_longer_accepted_says_so(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    kept = await keep(alice, "oauth2", "old", refresh_token="r", expires_at=LONG_AGO)
    unknown = await keep(alice, "oauth2", "old", provider="nobody", refresh_token="r", expires_at=LONG_AGO)
    single = await keep(alice, "oauth2", "old", expires_at=LONG_AGO)
    owner = await owner_of(engine, kept)
    provider.status, provider.answer = 400, {"error": "invalid_grant"}
    with pytest.raises(CredentialsMissing, match="log in again"):
        await vault.require(owner, kept, NEED)
    with pytest.raises(CredentialsMissing, match="does not know how to refresh"):
        await vault.require(owner, unknown, replace(NEED, providers=("nobody",)))
    with pytest.raises(CredentialsMissing, match="expired"):
        await vault.require(owner, single, NEED)


async def test_a_provider_that_is_away_is_asked_again_later(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    kept = await keep(alice, "oauth2", "old", refresh_token="r", expires_at=LONG_AGO)
    owner = await owner_of(engine, kept)
    provider.status, answer = 503, provider.answer
    provider.answer = {}
    with pytest.raises(BlockUnavailable):
        await vault.require(owner, kept, NEED)
    # One that is still valid for a moment is used all the same.
    await engine.pool.execute(
        "UPDATE credentials SET expires_at = now() + interval '50 s' WHERE id = $1", kept
    )
    assert await vault.require(owner, kept, NEED) == OAuth2Token("acme", "old", "", ("read", "write"))
    provider.status, provider.answer = 200, answer
    token = await vault.require(owner, kept, NEED)
    assert isinstance(token, OAuth2Token)
    assert token.access_token == "fresh-access"


WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%credentials%'
"""


async def test_two_processes_at_once_ask_for_one_token_once(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault, other: Vault
) -> None:
    owner, kept = await keep_expired(alice, engine)
    provider.let_go.clear()
    first = asyncio.create_task(vault.require(owner, kept, NEED))
    await eventually(lambda: provider.asked)
    second = asyncio.create_task(other.require(owner, kept, NEED))

    async def has_come() -> bool:
        return bool(await engine.pool.fetchval(WAITING)) or len(provider.asked) > 1

    await eventually(has_come)
    provider.let_go.set()
    assert await first == await second == OAuth2Token("acme", "fresh-access", "", ("read", "mail"))
    assert len(provider.asked) == 1


async def test_new_tokens_are_not_lost_with_the_connection_to_the_database(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    owner, kept = await keep_expired(alice, engine)
    provider.let_go.clear()
    refreshing = asyncio.create_task(vault.require(owner, kept, NEED))
    await eventually(lambda: provider.asked)
    broken = await engine.pool.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%credentials%'"
    )
    assert broken == 1
    provider.let_go.set()
    assert await refreshing == OAuth2Token("acme", "fresh-access", "", ("read", "mail"))
    # The provider may take a refresh token only once.
    assert [asked["refresh_token"] for asked in provider.asked] == ["old-refresh"]
    await engine.pool.execute("UPDATE credentials SET expires_at = now() WHERE id = $1", kept)
    await vault.require(owner, kept, NEED)
    assert [asked["refresh_token"] for asked in provider.asked] == ["old-refresh", "fresh-refresh"]


async def test_what_a_provider_does_not_say_anew_stays(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    owner, kept = await keep_expired(alice, engine)
    provider.answer = {"access_token": "fresh-access", "expires_in": 1}
    for _ in range(2):
        token = await vault.require(owner, kept, NEED)
        assert token == OAuth2Token("acme", "fresh-access", "", ("read", "write"))
    assert [asked["refresh_token"] for asked in provider.asked] == ["old-refresh"] * 2


async def test_refreshing_leaves_connections_for_others(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider
) -> None:
    expired = [await keep_expired(alice, engine) for _ in range(REFRESHING_AT_ONCE + 4)]
    http = OutboundHttp(allowed_private_hosts={"127.0.0.1"})
    provider.let_go.clear()
    async with asyncpg.create_pool(
        plain_url(engine.database_url), min_size=1, max_size=REFRESHING_AT_ONCE + 1, init=use_json
    ) as pool:
        vault = Vault(pool, CredentialsEncryption(KEYS), OAuthClient(http, {"acme": provider.described}))
        calls = [asyncio.create_task(vault.require(*each, NEED)) for each in expired]
        used = "SELECT count(*) FROM credentials WHERE user_id = $1 AND last_used_at IS NOT NULL"
        owner = expired[0][0]
        await eventually(lambda: len(provider.asked) >= REFRESHING_AT_ONCE)
        await eventually(lambda: has_used(engine, used, owner, len(expired)))
        async with asyncio.timeout(60):
            assert await pool.fetchval("SELECT 1") == 1
        assert len(provider.asked) == REFRESHING_AT_ONCE
        provider.let_go.set()
        await asyncio.gather(*calls)
    await http.aclose()


async def has_used(engine: Engine, query: str, owner: str, count: int) -> bool:
    return bool(await engine.pool.fetchval(query, owner) == count)


async def test_calls_that_wait_for_one_token_do_not_hold_up_another(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    owner, one = await keep_expired(alice, engine)
    _, two = await keep_expired(alice, engine, refresh_token="another")
    provider.let_go.clear()
    calls = [asyncio.create_task(vault.require(owner, one, NEED)) for _ in range(3 * REFRESHING_AT_ONCE)]
    await eventually(lambda: provider.asked)
    calls.append(asyncio.create_task(vault.require(owner, two, NEED)))
    await eventually(lambda: len(provider.asked) == 2)
    provider.let_go.set()
    await asyncio.gather(*calls)
    assert [asked["refresh_token"] for asked in provider.asked] == ["old-refresh", "another"]


async def test_old_tokens_are_hidden_while_new_ones_are_asked_for(
    alice: httpx.AsyncClient, engine: Engine, provider: Provider, vault: Vault
) -> None:
    owner, kept = await keep_expired(alice, engine)
    provider.status, provider.answer = 400, {"error": "invalid_grant"}
    with keeping_secrets() as secrets, pytest.raises(CredentialsMissing):
        await vault.require(owner, kept, NEED)
    assert secrets.scrub("old-access and old-refresh") == "[hidden] and [hidden]"


async def test_nobody_locks_refreshes_or_seals_the_credentials_of_somebody_else(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    owner, kept = await keep_expired(alice, engine)
    before = await engine.pool.fetchrow("SELECT * FROM credentials WHERE id = $1", kept)
    row = await credential_uses.use_credentials(engine.pool, owner, uuid.UUID(kept))
    assert row is not None
    planted = Sealed("key", b"planted")
    async with engine.pool.acquire() as connection, connection.transaction():
        assert await credential_uses.lock_credentials(connection, "somebody else", row.id) is None
        await credential_uses.write_refreshed(
            connection, "somebody else", row, planted, expires_at=None, scopes=[]
        )
    await credential_uses.reseal_credentials(engine.pool, "somebody else", row, planted)
    after = await engine.pool.fetchrow("SELECT * FROM credentials WHERE id = $1", kept)
    assert (after["secret"], after["scopes"]) == (before["secret"], before["scopes"])


async def test_a_secret_that_has_changed_is_not_sealed_anew_as_it_was(
    alice: httpx.AsyncClient, engine: Engine
) -> None:
    owner, kept = await keep_expired(alice, engine)
    row = await credential_uses.use_credentials(engine.pool, owner, uuid.UUID(kept))
    assert row is not None
    await alice.patch(f"/api/credentials/{kept}", json={"access_token": "changed"})
    await credential_uses.reseal_credentials(engine.pool, owner, row, Sealed("key", b"as it was"))
    now = await credential_uses.use_credentials(engine.pool, owner, row.id)
    assert now is not None
    assert now.sealed.content != b"as it was"
