"""The audit log tells what was decided, of the right thing, and never more than that."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from tests.admin import entries_of
from tests.api_keys import KEYS, holding, make_key
from tests.e2e.rest import save, sums
from tests.rest_api import RestApi


async def last_of(client: httpx.AsyncClient) -> tuple[str, str, str, dict[str, Any]]:
    """Return what the newest entry says."""
    entry = (await entries_of(client))[-1]
    return entry["action"], entry["object_id"], entry["outcome"], entry["details"]


async def test_what_a_key_is_allowed_stands_there_done_or_refused(
    api: RestApi, alice: httpx.AsyncClient
) -> None:
    """Whoever lets a program answer reviews has changed who may approve."""
    made = await make_key(alice, "keys:write", "audit:read", addresses=["127.0.0.1"])
    allowed = {
        "scopes": ["audit:read", "keys:write"],
        "expires_at": None,
        "addresses": ["127.0.0.1/32"],
    }
    assert await last_of(alice) == ("api_key.create", made["id"], "", allowed)
    async with holding(api, made) as key:
        body = {"name": "more", "scopes": ["reviews:write"]}
        assert (await key.post(KEYS, json=body)).status_code == 403
        wanted = {"scopes": ["reviews:write"], "expires_at": None, "addresses": []}
        assert await last_of(alice) == ("api_key.create", "", "FORBIDDEN", wanted)
        widened = {"scopes": ["keys:write", "reviews:write"]}
        assert (await key.patch(f"{KEYS}/{made['id']}", json=widened)).status_code == 403
        assert await last_of(alice) == ("api_key.update", made["id"], "FORBIDDEN", widened)
    assert (await alice.patch(f"{KEYS}/{made['id']}", json={**widened, "name": "x"})).status_code == 200
    assert await last_of(alice) == ("api_key.update", made["id"], "", widened)
    assert made["key"] not in str(await entries_of(alice))


async def test_which_version_counts_and_what_may_be_spent_stands_there(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    for version in (2, 3):
        assert (await alice.put(f"/api/graphs/{graph_id}", json=sums(3))).status_code == 200
        assert await last_of(alice) == ("graph.update", graph_id, "", {"version": version})
    path = f"/api/graphs/{graph_id}/versions/active"
    assert (await alice.put(path, json={"active_graph_version": 1})).status_code == 200
    assert await last_of(alice) == ("graph.activate", graph_id, "", {"version": 1})
    assert (await alice.put("/api/user/credits/budgets", json={"daily": 7, "total": None})).status_code == 200
    assert (await last_of(alice))[3] == {"daily": 7, "total": None}


async def test_a_thing_has_one_name_however_a_call_spells_it(alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, sums(2))
    spelled = uuid.UUID(graph_id)
    for spelling in (graph_id.upper(), spelled.hex, f"{{{graph_id}}}", spelled.urn):
        assert (await alice.put(f"/api/graphs/{spelling}", json=sums(3))).status_code == 200, spelling
        assert (await last_of(alice))[:2] == ("graph.update", graph_id)
