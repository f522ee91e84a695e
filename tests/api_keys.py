"""API keys as tests make and hold them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.rest_api import RestApi

KEYS = "/api/user/api-keys"


async def make_key(client: httpx.AsyncClient, *scopes: str, **more: Any) -> dict[str, Any]:
    """Have a client make a key; return the answer."""
    response = await client.post(KEYS, json={"name": "a key", "scopes": scopes, **more})
    assert response.status_code == 201, response.text
    return dict(response.json())


@asynccontextmanager
async def holding(api: RestApi, made: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client that holds a key."""
    async with api.caller(token=made["key"]) as client:
        yield client
