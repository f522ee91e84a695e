"""Logins at a provider of our own: its token endpoint, and what users do to log in."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.outbound.oauth_providers import OAuthProvider
from tests.credentials import keep
from tests.engine import Engine
from tests.stubs import Served

LONG_AGO = "2020-01-01T00:00:00Z"
CLIENT_SECRET = "the-client-secret-of-the-tests"


class Provider(Served):
    """A token endpoint: notes what it is asked, and answers what the test says."""

    def __init__(self) -> None:
        super().__init__(Starlette(routes=[Route("/token", self._answer, methods=["POST"])]))
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.answer: dict[str, Any] = {
            "access_token": "fresh-access",
            "refresh_token": "fresh-refresh",
            "expires_in": 3600,
            "scope": "read mail",
        }

    async def _answer(self, request: Request) -> JSONResponse:
        form = await request.body()
        self.asked.append({name: values[0] for name, values in parse_qs(form.decode()).items()})
        await self.let_go.wait()
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


async def keep_expired(client: httpx.AsyncClient, engine: Engine, **more: Any) -> tuple[str, str]:
    """Keep a token that has to be refreshed; return its owner and its id."""
    given = {"refresh_token": "old-refresh", "expires_at": LONG_AGO, **more}
    kept = await keep(client, "oauth2", "old-access", **given)
    return await owner_of(engine, kept), kept
