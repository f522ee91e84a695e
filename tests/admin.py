"""An administrator, as tests have one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from app.api.auth import issue_token
from tests.rest_api import SECRET, RestApi


@asynccontextmanager
async def an_admin(api: RestApi) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of an administrator of its own."""
    token = issue_token(SECRET, email=f"{uuid.uuid4()}@example.org", role="admin")
    async with api.caller(token=token) as client:
        yield client


async def id_of(client: httpx.AsyncClient) -> str:
    """Return the id of a client's user."""
    return str((await client.get("/api/user")).json()["id"])


async def entries_of(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return what stands in the audit log for a client's user, oldest first."""
    response = await client.get("/api/user/audit", params={"limit": 200})
    assert response.status_code == 200, response.text
    return list(reversed(response.json()["items"]))


def short(entries: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return of entries what was done to what, and how it ended."""
    return [(entry["action"], entry["object_id"], entry["outcome"]) for entry in entries]
