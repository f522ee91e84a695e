"""What executions remember: for whom, for how long, and how its owner sees it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from app.activities.memory import CallMemory
from app.blocks.context import Scope
from app.errors import BlockInputInvalid, BlockLimitExceeded
from app.models.memories import MAX_KEY_LENGTH, MAX_VALUE_BYTES
from tests.e2e.rest import graph, node, save, start, wait
from tests.engine import Engine


def counting(scope: str = "within_agent") -> dict[str, Any]:
    """Return a graph that counts its executions."""
    return graph(
        [
            node("before", "retrieve_information_block", key="count", scope=scope, default_value=0),
            node("add", "calculator_block", operation="Add", b=1),
            node("after", "persist_information_block", key="count", scope=scope),
            node("out", "agent_output_block", name="count"),
        ],
        ["before.value -> add.a", "add.result -> after.value", "after.value -> out.value"],
    )


async def run(client: httpx.AsyncClient, graph_id: str) -> Any:
    done = await wait(client, (await start(client, graph_id))["id"])
    assert done["status"] == "COMPLETED", done
    return done["outputs"]["count"]


async def keys(client: httpx.AsyncClient, **params: str) -> list[str]:
    listed = await client.get("/api/memories", params=params)
    assert listed.status_code == 200, listed.text
    return [item["key"] for item in listed.json()["items"]]


@pytest.mark.usefixtures("worker")
async def test_a_graph_remembers_from_one_execution_to_the_next(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    graph_id, other = await save(alice, counting()), await save(alice, counting())
    assert [await run(alice, graph_id) for _ in range(2)] == [[1], [2]]
    assert await run(alice, other) == [1]
    assert await run(bob, await save(bob, counting())) == [1]
    assert (await keys(alice, graph_id=graph_id), await keys(alice)) == (["count"], [])
    value = await alice.get("/api/memories/value", params={"graph_id": graph_id, "key": "count"})
    assert (value.json()["value"], value.json()["graph_id"]) == (2, graph_id)
    assert (await bob.get("/api/memories", params={"graph_id": graph_id})).status_code == 404
    stolen = await bob.get("/api/memories/value", params={"graph_id": graph_id, "key": "count"})
    assert stolen.status_code == 404
    assert (await bob.delete("/api/memories", params={"graph_id": graph_id})).status_code == 404


@pytest.mark.usefixtures("worker")
async def test_what_all_graphs_share_is_shared_by_one_owner_only(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    assert await run(alice, await save(alice, counting("across_agents"))) == [1]
    assert await run(alice, await save(alice, counting("across_agents"))) == [2]
    assert await run(bob, await save(bob, counting("across_agents"))) == [1]
    assert await keys(alice) == ["count"]
    gone = await alice.delete("/api/memories", params={"key": "count"})
    assert gone.json() == {"forgotten": 1}
    assert await keys(alice) == []
    assert await keys(bob) == ["count"]


@pytest.mark.usefixtures("worker")
async def test_a_deleted_graph_is_forgotten(engine: Engine, alice: httpx.AsyncClient) -> None:
    graph_id = await save(alice, counting())
    await run(alice, graph_id)
    query = "SELECT count(*) FROM memories WHERE graph_id = $1"
    assert await engine.pool.fetchval(query, uuid.UUID(graph_id)) == 1
    assert (await alice.delete(f"/api/graphs/{graph_id}")).status_code == 204
    assert await engine.pool.fetchval(query, uuid.UUID(graph_id)) == 0


def remembering(engine: Engine) -> CallMemory:
    return CallMemory(engine.pool, owner=str(uuid.uuid4()), graph_id=str(uuid.uuid4()))


async def test_any_json_is_remembered_as_it_was(engine: Engine) -> None:
    memory = remembering(engine)
    for value in (None, "a\x00é\U0001f600", [1, {"x": 2.5}], "", 10**20, False):
        await memory.put("k", value, scope=Scope.AGENT)
        assert await memory.get("k", scope=Scope.AGENT) == [value]
    assert await memory.get("k", scope=Scope.USER) == []


async def test_of_two_that_write_at_once_one_stays(engine: Engine) -> None:
    memory = remembering(engine)
    await asyncio.gather(*(memory.put("k", n, scope=Scope.USER) for n in range(10)))
    [value] = await memory.get("k", scope=Scope.USER)
    assert value in range(10)


async def test_memory_has_limits(engine: Engine) -> None:
    memory = remembering(engine)
    with pytest.raises(BlockLimitExceeded):
        await memory.put("x" * (MAX_KEY_LENGTH + 1), 1, scope=Scope.AGENT)
    with pytest.raises(BlockLimitExceeded):
        await memory.put("k", "x" * MAX_VALUE_BYTES, scope=Scope.AGENT)
    for key in ("a\x00b", "\ud800"):
        with pytest.raises(BlockInputInvalid):
            await memory.put(key, 1, scope=Scope.AGENT)
    assert await memory.get("k", scope=Scope.AGENT) == []


async def test_keys_come_in_pages(engine: Engine, alice: httpx.AsyncClient) -> None:
    owner = (await alice.get("/api/user")).json()["id"]
    memory = CallMemory(engine.pool, owner=owner, graph_id="")
    for key in ("b", "a", "ä", "c/d?"):
        await memory.put(key, 1, scope=Scope.USER)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await alice.get("/api/memories", params={"limit": "2", **cursor})).json()
        found += [item["key"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(found) == sorted(["a", "b", "c/d?", "ä"])
    assert (await alice.delete("/api/memories")).json() == {"forgotten": 4}
