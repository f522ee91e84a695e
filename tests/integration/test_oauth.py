"""Logins with OAuth2: begun and ended over REST, refreshed once however many need it, against a provider of our own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from temporalio.client import Client

from app.activities.vault import Vault
from app.blocks.credentials import CredentialsMissing, OAuth2Token
from app.encryption.credentials import CredentialsEncryption
from app.errors import BlockUnavailable
from app.graph.credentials import CredentialsNeed, CredentialsType
from app.outbound.http import OutboundHttp
from app.outbound.oauth import OAuthClient
from app.outbound.oauth_providers import OAuthProvider
from tests.credentials import keep
from tests.engine import KEYS, Engine
from tests.rest_api import RestApi, run_api
from tests.stubs import Served

NEED = CredentialsNeed(("acme",), (CredentialsType.OAUTH2,))
LONG_AGO = "2020-01-01T00:00:00Z"
CLIENT_SECRET = "the-client-secret-of-the-tests"


class Provider(Served):
    """A token endpoint: notes what it is asked, and answers what the test says."""

    def __init__(self) -> None:
        super().__init__(Starlette(routes=[Route("/token", self._answer, methods=["POST"])]))
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.answer: dict[str, Any] = {
            "access_token": "fresh-access",
            "refresh_token": "fresh-refresh",
            "expires_in": 3600,
            "scope": "read mail",
        }

    async def _answer(self, request: Request) -> JSONResponse:
        form = await request.body()
        self.asked.append({name: values[0] for name, values in parse_qs(form.decode()).items()})
        return JSONResponse(self.answer, self.status)

    @property
    def described(self) -> OAuthProvider:
        return OAuthProvider(
            name="acme",
            authorize_url="https://acme.test/login?tenant=1",
            token_url=f"{self.url}/token",
            client_id="the-client",
            client_secret=CLIENT_SECRET,
            scopes=("read",),
            redirect_url="https://perdure.test/back",
        )


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


async def begin(client: httpx.AsyncClient, **params: str) -> tuple[dict[str, str], str]:
    """Begin a login; return what the provider is told, and the state."""
    response = await client.get("/api/credentials/oauth/acme/login", params=params)
    assert response.status_code == 200, response.text
    query = parse_qs(urlsplit(response.json()["login_url"]).query)
    return {name: values[0] for name, values in query.items()}, response.json()["state"]


async def end(client: httpx.AsyncClient, state: str, **more: str) -> httpx.Response:
    return await client.post(
        "/api/credentials/oauth/acme/callback", json={"code": "the-code", "state": state, **more}
    )


async def owner_of(engine: Engine, credentials_id: str) -> str:
    owner: str = await engine.pool.fetchval("SELECT user_id FROM credentials WHERE id = $1", credentials_id)
    return owner


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
