"""The audit log: every call that changes something leaves one entry, and nothing takes it away again."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from asyncpg import RaiseError

from tests.e2e.rest import save, start, sums
from tests.engine import Engine
from tests.rest_api import RestApi

LOG = "/api/user/audit"


async def entries_of(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return a user's audit log, oldest first."""
    response = await client.get(LOG, params={"limit": 200})
    assert response.status_code == 200, response.text
    return list(reversed(response.json()["items"]))


def short(entries: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(entry["action"], entry["object_id"], entry["outcome"]) for entry in entries]


async def test_what_a_user_does_stands_in_the_log(alice: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    execution = await start(alice, graph_id)
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 404
    entries = await entries_of(alice)
    assert short(entries) == [
        ("graph.create", graph_id, ""),
        ("execution.start", execution["id"], ""),
        ("graph.delete", graph_id, ""),
        ("graph.delete", graph_id, "NOT_FOUND"),
    ]
    user_id = (await alice.get("/api/user")).json()["id"]
    assert {(entry["user_id"], entry["actor_id"], entry["api_key_id"]) for entry in entries} == {
        (user_id, user_id, None)
    }
    assert {entry["address"] for entry in entries} == {"127.0.0.1"}
    assert await entries_of(bob) == []
