"""Graphs that execute other graphs over REST, and the executions nested in them."""

from __future__ import annotations

from typing import Any

import httpx

from tests.e2e.rest import graph, node, requests, save
from tests.stack import eventually

AGENT = "agent_executor_block"


def nesting(graph_id: str, *links: str) -> dict[str, Any]:
    """Return a graph that executes another one, with an output for whatever its links lead to."""
    sinks = dict.fromkeys(text.split("->")[1].strip().split(".")[0] for text in links)
    outputs = [node(name, "agent_output_block", name=name) for name in sinks]
    return graph([node("agent", AGENT, graph_id=graph_id), *outputs], list(links))


async def save_two_levels(client: httpx.AsyncClient, url: str, *paths: str) -> str:
    """Save a graph that makes web requests, one that executes it, and one that executes that; return the last id."""
    lowest = await save(client, requests(url, *paths))
    middle = await save(client, nesting(lowest, "agent.last -> answer.value"))
    return await save(client, nesting(middle, "agent.answer -> y.value"))


async def nested_in(client: httpx.AsyncClient, execution_id: str) -> dict[str, Any]:
    """Return the only execution nested in another one, once there is one."""

    async def find() -> dict[str, Any] | None:
        response = await client.get("/api/executions", params={"parent_id": execution_id})
        items: list[dict[str, Any]] = response.json()["items"]
        return items[0] if items else None

    found: dict[str, Any] | None = await eventually(find)
    assert found is not None
    return found


async def family_of(client: httpx.AsyncClient, execution_id: str) -> list[str]:
    """Return the ids of an execution and of the two below it."""
    child = (await nested_in(client, execution_id))["id"]
    return [execution_id, child, (await nested_in(client, child))["id"]]
